"""What kind of program a process is: by executable, script, package, title."""

from __future__ import annotations

import pytest

from devrun.decide import programs
from tests.support.decisions import a_process, a_program


def script(path, *arguments, exe="/usr/bin/node"):
    return a_process(argv=(exe, path, *arguments), exe=exe, script=path, name="node")


KINDS = [
    (a_program("/bin/zsh"), programs.SHELL),
    (a_program("/bin/bash", argv=("-bash",)), programs.SHELL),
    (a_program("/usr/bin/bash5.2"), programs.SHELL),
    (a_program("/usr/bin/nvim", "--embed"), programs.EDITOR),
    (a_program("/usr/share/code/code", "--type=utility"), programs.EDITOR),
    (script("/x/node_modules/typescript/lib/tsserver.js"), programs.EDITOR),
    (script("/x/mcp-server.js", "--stdio"), programs.EDITOR),
    (a_program("/usr/bin/gdb", "--args", "node"), programs.DEBUGGER),
    (a_program("/opt/google/chrome/chrome", "--type=renderer"), programs.BROWSER),
    (a_program("/Applications/Slack.app/Contents/MacOS/Slack"), programs.GUI),
    (a_program("/Applications/Figma.app/Contents/MacOS/Figma"), programs.GUI),
    (a_program("/usr/bin/tmux", argv=("tmux: server",), name="tmux: server"), programs.TERMINAL),
    (script("/x/node_modules/@anthropic-ai/claude-code/cli.js"), programs.AGENT),
    (script("/x/claude/cli.js"), programs.AGENT),
    (script("/usr/local/bin/claude"), programs.AGENT),
    (a_process(argv=("node", "/usr/local/bin/codex"), script=None), programs.AGENT),
    (a_process(argv=("python", "-m", "aider"), script=None, exe="/usr/bin/python3.11"), programs.AGENT),
    (a_program("/home/me/.local/share/claude/versions/2.0.1", argv=("claude",)), programs.AGENT),
    (a_program("/home/me/.local/share/claude/versions/2.0.1", argv=("x",), name="2.0.1"), programs.AGENT),
    (a_program("/usr/bin/watchman", "get-sockname"), programs.DAEMON),
    (a_program("/usr/bin/java", "org.gradle.launcher.daemon.bootstrap.GradleDaemon"), programs.DAEMON),
    (a_program("/usr/bin/bazel", argv=("bazel(project)",)), programs.DAEMON),
    (a_program("/usr/bin/docker-proxy"), programs.CONTAINER),
    (a_program("/usr/bin/ssh", "-NL", "1:x:1"), programs.FORWARD),
    (a_program("/usr/bin/grep", "-rn", "@mintlify"), programs.SEARCH),
    (a_process(argv=("grep", "@mintlify"), exe="/usr/bin/node", script=None), programs.SEARCH),
    (script("/venv/bin/devrun", "up", exe="/usr/bin/python3.11"), programs.DEVRUN),
    (a_program("/usr/bin/vim.basic", argv=("editor", "x"), name="editor"), programs.EDITOR),
    (a_program("/nix/store/x-kitty/bin/.kitty-wrapped"), programs.TERMINAL),
    (script("/r/out/server-main.js", exe="/home/me/.vscode-server/bin/0a/node"), programs.EDITOR),
    (script("/home/me/.vscode-server/extensions/eslint/server.js"), programs.EDITOR),
    (script("/home/me/.vscode/extensions/eslint/server.js"), programs.EDITOR),
    (script("/usr/lib/code-server/out/node/entry", exe="/usr/lib/code-server/lib/node"), programs.EDITOR),
    (a_program("/opt/idea/jbr/bin/java", "-cp", "x.jar", "com.intellij.idea.Main"), programs.EDITOR),
    (a_program("/usr/bin/java", "-jar", "/x/org.eclipse.equinox.launcher_1.6.jar"), programs.EDITOR),
    (a_process(argv=("python3", "-m", "pdb", "x.py"), script=None, exe="/usr/bin/python3.11"), programs.DEBUGGER),
    (script("/g/node_modules/@anthropic-ai/claude-agent-sdk/cli.js"), programs.AGENT),
    (script("/g/node_modules/@zed-industries/claude-code-acp/dist/index.js"), programs.AGENT),
    (a_process(argv=("PM2 v5.3.0: God Daemon (/home/me/.pm2)",), script=None), programs.DAEMON),
    (a_program("/usr/lib/git-core/git", "credential-cache--daemon", "/home/me/.cache/git/socket"), programs.DAEMON),
    (a_program("/usr/bin/dotnet", "exec", "/x/Roslyn/bincore/VBCSCompiler.dll"), programs.DAEMON),
]
NONE = [
    script("/home/me/claude/server.js"),
    script("/home/me/.claude/worktrees/x/node_modules/.bin/vite"),
    script("/home/me/codex/index.js"),
    a_process(argv=("next-server (v16)",), script=None, name="next-server (v1"),
    a_program("/Library/Python.framework/Resources/Python.app/Contents/MacOS/Python", "-m", "http.server"),
    a_process(argv=None, exe=None, script=None, name=None),
    a_process(argv=("python", "x.py", "-m", "aider"), script="/x.py"),
    script("/home/me/code-server/apps/web/node_modules/.bin/vite"),
    script("/w/.vscode/server.js"),
    a_program(
        "/usr/bin/java", "-javaagent:/opt/idea/lib/idea_rt.jar=1", "com.intellij.rt.execution.AppMainV2", "app.Main"
    ),
    a_program("/usr/bin/java", "-Dfile.encoding=UTF-8", "-jar", "/w/build/libs/api.jar"),
    a_process(argv=("node /w/app.js",), script=None, name="node /w/app.js"),
]


@pytest.mark.parametrize(("record", "kind"), KINDS, ids=lambda value: value if isinstance(value, str) else value.title)
def test_protected_programs_are_recognised(record, kind):
    assert programs.kind(record) == kind


@pytest.mark.parametrize("record", NONE, ids=lambda record: record.title)
def test_servers_are_not_taken_for_protected_programs(record):
    assert programs.kind(record) is None


@pytest.mark.parametrize(
    "record",
    [
        a_program("/usr/bin/node"),
        a_program("/usr/bin/python3.11"),
        a_program("/opt/ruby/bin/ruby3.2"),
        a_program("/w/node_modules/@esbuild/linux-x64/bin/esbuild"),
        a_program("/tmp/go-build123/b001/exe/main"),
        a_program("/w/target/debug/api"),
        a_program("/w/tmp/main"),
        script("/w/node_modules/next/dist/bin/next", exe="/opt/odd-node"),
    ],
    ids=lambda record: record.exe,
)
def test_development_runtimes_are_recognised(record):
    assert programs.is_runtime(record)


def test_a_title_makes_no_runtime_and_the_configuration_does():
    odd = a_program("/usr/bin/odd", argv=("node",), name="node")
    assert not programs.is_runtime(odd)
    assert programs.is_runtime(odd, frozenset({"odd"}))
    assert programs.is_runtime(script("/x/node_modules/@mintlify/cli/start.js", exe="/odd"), frozenset({"@mintlify"}))
    assert not programs.is_runtime(a_process(exe=None, script=None))


def test_a_shell_with_a_program_is_a_wrapper_and_one_without_is_a_prompt():
    assert programs.is_wrapper_shell(a_program("/bin/sh", "-c", "x"))
    assert programs.is_wrapper_shell(a_program("/bin/bash", "start.sh"))
    assert not programs.is_wrapper_shell(a_program("/bin/bash"))
    for words in (["-l"], ["--init-file", "/x/shellIntegration-bash.sh"], ["--rcfile", "/x/rc", "-i"], ["-o", "vi"]):
        assert not programs.is_wrapper_shell(a_program("/bin/bash", *words))
    assert not programs.is_wrapper_shell(a_program("/usr/bin/fish", "--init-command", "source x.fish"))
    for words in (["-ec", "x"], ["--norc", "-c", "x"], ["-o", "pipefail", "-c", "x"], ["+x", "start.sh"]):
        assert programs.is_wrapper_shell(a_program("/bin/bash", *words))
    assert not programs.is_wrapper_shell(a_program("/usr/bin/node", "x"))


def test_people_know_a_process_by_its_short_command_line():
    assert a_program("/usr/bin/node", "server.js").title == "node server.js"
    assert a_process(argv=None, name="node").title == "node"
    assert len(a_program("/usr/bin/node", "x" * 200).title) == 80
