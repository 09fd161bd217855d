"""What kind of program a process is, by its executable and by the script it runs.

A program is known by the base name of its executable, of argv[0], of its script and of its kernel
name, and by the package its script belongs to: `node …/@anthropic-ai/claude-code/cli.js` is an
agent although its executable is node.  The names only ever protect a process, with one exception:
`is_runtime` opens it to being stopped, and is asked of the executable and the script alone, never
of a title a process gave itself.

The tables are data: a new program is a word here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from itertools import pairwise

from devrun.decide.commandline import module_of
from devrun.model import ProcessRecord

SHELL, EDITOR, DEBUGGER, BROWSER, GUI = "shell", "editor", "debugger", "browser", "gui"
TERMINAL, AGENT, DAEMON, CONTAINER, FORWARD, DEVRUN = "terminal", "agent", "daemon", "container", "forward", "devrun"
SEARCH = "search"

_KINDS = {
    SHELL: """
        sh bash dash zsh fish ksh mksh ash tcsh csh nu nushell elvish xonsh pwsh powershell busybox login su sudo doas
        """,
    EDITOR: """
        vi vim nvim view vimdiff gvim mvim emacs emacsclient nano pico micro hx helix kak ed joe mg ne code code-insiders
        vim.basic vim.tiny vim.nox vim.gtk3 vim.motif emacs-gtk emacs-nox emacs-pgtk emacs-lucid
        code-server code-oss codium vscodium cursor windsurf zed zeditor subl sublime_text atom gedit kate idea webstorm
        pycharm goland rubymine phpstorm clion rider fleet studio eclipse netbeans xcode less more most man
        """,
    DEBUGGER: """
        gdb gdb-multiarch cgdb lldb lldb-server lldb-dap codelldb gdbserver strace ltrace perf rr dlv bpftrace valgrind
        dtrace dtruss sysdig py-spy pdb ipdb pudb jdb
        """,
    BROWSER: """
        chrome google-chrome google-chrome-stable chromium chromium-browser chrome_crashpad_handler headless_shell
        chrome-headless-shell chromedriver firefox firefox-bin firefox-esr geckodriver librewolf safari safaridriver
        msedge microsoft-edge brave brave-browser opera vivaldi vivaldi-bin arc epiphany webkitwebprocess
        webkitnetworkprocess plugin-container minibrowser
        """,
    GUI: """
        xorg xwayland gnome-shell gnome-session-binary plasmashell kwin_x11 kwin_wayland sway hyprland i3 mutter nautilus
        dolphin finder dbus-daemon dbus-broker systemd launchd electron xdg-open open-vm-tools slack discord
        """,
    TERMINAL: """
        tmux screen zellij abduco dtach byobu gnome-terminal gnome-terminal-server konsole xterm urxvt rxvt alacritty
        kitty wezterm wezterm-gui wezterm-mux-server foot st ghostty iterm2 itermserver terminal warp hyper tilix
        terminator xfce4-terminal mate-terminal lxterminal qterminal ptyxis ptyxis-agent kgx yakuake guake tilda
        mosh-server mosh-client ttyd script
        """,
    AGENT: """
        claude claude-code codex aider gemini gemini-cli cursor-agent opencode goose goosed amp crush droid copilot
        qwen qwen-code kiro plandex openhands cline continue-cli devin auggie kimi kimi-cli kilocode iflow jules rovodev
        """,
    DAEMON: """
        watchman watchmand gradle gradled bazel bazelisk buck buck2 buckd adb ssh-agent gpg-agent scdaemon sccache ccache
        docker dockerd com.docker.cli podman nix-daemon keyboxd dirmngr pcscd syncthing dropbox mutagen mutagen-agent
        distccd turbod kotlin-daemon mysqld mariadbd postgres redis-server mongod memcached epmd ollama buildkitd
        gnome-keyring-daemon kwalletd5 kwalletd6 rbw-agent
        """,
    CONTAINER: """
        docker-proxy containerd containerd-shim containerd-shim-runc-v2 containerd-shim-runc-v1 runc crun conmon
        rootlesskit rootlessport slirp4netns pasta passt vpnkit vpnkit-bridge gvproxy com.docker.backend com.docker.vpnkit
        com.docker.virtualization limactl colima lima-guestagent orbstack qemu-system-x86_64 qemu-system-aarch64
        firecracker kubelet k3s kube-proxy aardvark-dns netavark
        """,
    SEARCH: "grep egrep fgrep zgrep rg ag ack ugrep",
    FORWARD: "ssh sshd sshd-session autossh sshuttle kubectl cloudflared ngrok tailscaled",
    DEVRUN: "devrun",
}
KIND_OF = {name: kind for kind, names in _KINDS.items() for name in names.split()}

_AGENT_PACKAGES = frozenset(
    """
    @anthropic-ai/claude-code @openai/codex @google/gemini-cli @sourcegraph/amp @charmland/crush @qwen-code/qwen-code
    @github/copilot @block/goose opencode-ai aider aider-chat cursor-agent claude-code @anthropic-ai/claude-agent-sdk
    @zed-industries/claude-code-acp @zed-industries/codex-acp @openai/codex-sdk @augmentcode/auggie @continuedev/cli
    @kilocode/cli @google/jules @iflow-ai/iflow-cli @mariozechner/pi-coding-agent @vibe-kit/grok-cli
    """.split()
)
_DAEMON_CLASSES = (
    *("GradleDaemon", "KotlinCompileDaemon", "bazel.BazelServer", "A-server.jar", "MavenDaemon", "NGServer"),
    *("BloopServer", "VBCSCompiler.dll", "credential-cache--daemon"),
)
_DAEMON_TITLE = "PM2 v"  # `PM2 v5.3.0: God Daemon (/home/me/.pm2)`
_LANGUAGE_SERVERS = ("language-server", "languageserver", "langserver", "tsserver", "lsp-server")
_EDITOR_FOLDERS = frozenset(
    """
    .vscode-server .vscode-server-insiders .vscode-remote .vscodium-server .cursor-server .windsurf-server .kiro-server
    .trae-server .antigravity-server .positron-server .zed_server
    """.split()
)
"""What an editor runs on the machine that its window is not on (WSL, ssh, a container) has its own `node` in here."""
_EDITOR_HOMES = frozenset({"code-server", "openvscode-server"})
_EDITOR_WORDS = (
    *("com.intellij.idea.Main", "-Didea.vendor.name=", "org.jetbrains.jps.", "org.jetbrains.idea.maven.server."),
    *("com.android.tools.idea.", "-Declipse.application=org.eclipse.jdt.ls", "org.netbeans.Main", "scala.meta.metals."),
)
_ENTRY_FILES = frozenset({"cli"})
_SHELL_VALUES = frozenset({"--rcfile", "--init-file", "--init-command", "-C"})
"""Options of a shell with a value that is no program: editors start the shell of their terminal with a file of theirs."""

RUNTIMES = frozenset(
    """
    node nodejs bun bunx deno tsx ts-node ts-node-dev next next-server vite vitest esbuild mint mintlify webpack
    webpack-dev-server rollup rolldown parcel turbo nx lerna pnpm npm npx yarn corepack nodemon concurrently tsc swc
    postcss tailwindcss sass astro nuxt nuxi remix gatsby ng vue-cli-service react-scripts expo metro storybook wrangler
    workerd miniflare gulp serve http-server json-server live-server browser-sync svelte-kit rspack rsbuild biome
    python pypy uvicorn gunicorn hypercorn daphne waitress-serve flask django-admin celery fastapi streamlit jupyter
    jupyter-lab jupyter-notebook mkdocs sphinx-autobuild uv poetry pipenv pdm hatch honcho watchfiles watchmedo
    ruby puma unicorn rails rackup thin sidekiq bundle bundler jekyll foreman guard spring
    php php-fpm artisan symfony composer java gradlew mvn mvnd kotlin scala sbt clojure lein quarkus
    go air reflex gow cargo cargo-watch bacon trunk mix iex elixir erl beam.smp dotnet
    hugo zola eleventy caddy watchexec entr swift crystal dart flutter stack cabal
    """.split()
)

_VERSION = re.compile(r"[-_]?v?\d[\d.]*$")
_TITLE_END = re.compile(r"[\s:(\[]")


def kind(record: ProcessRecord, /) -> str | None:
    """Return the kind of protected program `record` is, None when it is none of them that we know."""
    for name in _names(record):
        found = KIND_OF.get(name) or KIND_OF.get(_VERSION.sub("", name))
        if found is not None:
            return found
    if _is_agent(record):
        return AGENT
    if _is_gui(record.exe):
        return GUI
    argv = record.argv or ()
    if any(word.endswith(_DAEMON_CLASSES) for word in argv) or (argv and argv[0].startswith(_DAEMON_TITLE)):
        return DAEMON
    if _is_of_an_editor(record, argv) or _is_language_server(record, argv):
        return EDITOR
    return None


def is_runtime(record: ProcessRecord, extra: frozenset[str] = frozenset(), /) -> bool:
    """Say whether `record` is a development runtime: by the built-in list, by `extra` of the configuration.

    Unknown executable and script: not one.
    """
    known = RUNTIMES | extra if extra else RUNTIMES
    for path in (record.exe, record.script):
        if path and (_base(path) in known or _VERSION.sub("", _base(path)) in known or _is_build_product(path)):
            return True
    packages = set(_packages(record.script)) | set(_packages(record.exe))
    return bool(packages & known)


def goes_by(record: ProcessRecord, names: frozenset[str], /) -> bool:
    """Say whether `record` goes by one of these names (lower case), by executable, script, title or package."""
    if any(name in names or _VERSION.sub("", name) in names or name.split(".")[0] in names for name in _names(record)):
        return True
    return bool(set(_packages(record.script)) & names)


def is_wrapper_shell(record: ProcessRecord, /) -> bool:
    """Say whether `record` is a shell that runs a script or a `-c` program: a step of something, nobody's prompt."""
    argv = record.argv or ()
    if len(argv) < 2 or kind(record) != SHELL:  # noqa: PLR2004 - a program and one more word
        return False
    words = iter(argv[1:])
    for word in words:
        letters = "" if word.startswith("--") else word[1:]
        if not word.startswith(("-", "+")) or "c" in letters or word == "--command":
            return True
        if word in _SHELL_VALUES or letters[-1:] in ("o", "O"):
            next(words, None)
    return False


def _names(record: ProcessRecord) -> Iterator[str]:
    """Yield the names `record` goes by, most trustworthy first, lower case."""
    argv = record.argv or ()
    yield from _forms(record.exe)
    yield from _forms(record.script)
    if argv:
        yield from _forms(argv[0].lstrip("-"))
        module = module_of(argv)
        if module is not None:
            yield module.lower().split(".")[0]
            yield module.lower()
    yield from _forms(record.name)
    if len(argv) > 1 and record.script is None and _base(argv[0]).startswith(("node", "python", "bun", "deno")):
        yield _base(argv[1])


def _forms(path: str | None) -> Iterator[str]:
    if not path:
        return
    name = _base(path)
    yield name
    if name.startswith(".") and name.endswith("-wrapped"):  # Nix: `firefox` is a script that starts this
        yield name.removeprefix(".").removesuffix("-wrapped")
    first = _TITLE_END.split(name, maxsplit=1)[0]
    if first and first != name:
        yield first


def _base(path: str) -> str:
    return (os.path.basename(path.rstrip("/")) or path).lower()


def _is_agent(record: ProcessRecord) -> bool:
    argv = record.argv or ()
    scripts = [path for path in (record.script, *(word for word in argv[1:3] if "/" in word)) if path]
    if any(_AGENT_PACKAGES & set(_packages(script)) for script in scripts):
        return True
    for path in scripts:
        parts = path.lower().split("/")
        stem = parts[-1].split(".")[0]
        if len(parts) > 1 and stem in _ENTRY_FILES and KIND_OF.get(parts[-2]) == AGENT:
            return True
    parts = (record.exe or "").lower().split("/")  # …/share/claude/versions/2.0.1
    return any(KIND_OF.get(one) == AGENT and two == "versions" for one, two in pairwise(parts))


def _is_gui(exe: str | None) -> bool:
    """Say whether the executable is in an application bundle; Python's own framework build is one, and is no GUI."""
    lowered = (exe or "").lower()
    return ".app/contents/" in lowered and not _base(lowered).startswith("python")


def _is_of_an_editor(record: ProcessRecord, argv: tuple[str, ...]) -> bool:
    """Say whether an editor brought this runtime along: `node` of VS Code's server, extensions, the `java` of an IDE."""
    exe, script = (set((path or "").split("/")[:-1]) for path in (record.exe, record.script))
    if exe & _EDITOR_HOMES or (exe | script) & _EDITOR_FOLDERS or "/.vscode/extensions/" in (record.script or ""):
        return True
    is_java = "java" in (_base(record.exe or ""), _base(argv[0] if argv else ""))
    return is_java and any(
        word.startswith(_EDITOR_WORDS) or _base(word).startswith("org.eclipse.equinox.launcher") for word in argv[1:]
    )


def _is_language_server(record: ProcessRecord, argv: tuple[str, ...]) -> bool:
    """Say whether an editor or an agent talks to it through its stdio (`--stdio` is the convention of both)."""
    script = _base(record.script or "")
    return "--stdio" in argv or any(part in script for part in _LANGUAGE_SERVERS)


def _packages(path: str | None) -> Iterator[str]:
    """Yield the node packages a path goes through: `@scope`, `@scope/name`, `name`; for Python `name` of site-packages."""
    parts = (path or "").lower().split("/")
    for index, part in enumerate(parts[:-1]):
        if part in ("node_modules", "site-packages"):
            yield parts[index + 1]
        if part.startswith("@") and index + 1 < len(parts):
            yield part
            yield f"{part}/{parts[index + 1]}"


def _is_build_product(path: str) -> bool:
    """Say whether `go run`, cargo or air built this executable."""
    return "/go-build" in path or "/target/debug/" in path or "/target/release/" in path or path.endswith("/tmp/main")  # noqa: S108 - where air builds
