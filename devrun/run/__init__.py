"""How a run holds together: one file per layer.

From the outside in: `bringup` and `start` decide that a run may begin, `launch` makes it happen; the
`keeper` is the process people see, the `supervisor` runs the loop, `trees` starts and stops process
trees, an `instance` is one life of one service under its `anchor` on its `tether`; `watch`, `owner`
and `binding` say what else may end it.  Beside a run, `foreground` runs one command as a shell would,
`removal` ends a worktree, `footprint` measures what services cost.  The rooms within: `life` decides
(pure), `ready` asks services whether they are, `output` shows and keeps what they say, `talk` is the
control socket.
"""
