"""The warnings of `devrun check`: what is allowed but probably not meant."""

from __future__ import annotations

import json

import pytest

from devrun.config.advice import advise


def warnings(folder, text, **options):
    return [(each.message, each.hint) for each in advise(folder.load(text, **options))]


def one(folder, text, **options):
    (warning,) = warnings(folder, text, **options)
    return warning


def command(text, port=3000):
    return f"services: {{web: {{command: {json.dumps(text)}, port: {port}}}}}"


def test_bases_that_alias_under_the_stride(folder):
    message, hint = one(folder, "services: {a: {command: x, port: 3000}, b: {command: y, port: 3010}}")
    assert "`b` 3010 is `a` 3000 of slot 1" in message
    assert hint.startswith("`3011` instead of `3010`")
    assert warnings(folder, "services: {a: {command: x, port: 3000}, b: {command: y, port: 3001}}") == []
    assert warnings(folder, "services: {a: {command: x, port: 3000}, b: {command: y, port: 3010, fixed: true}}") == []
    assert (
        warnings(folder, "ports: {stride: 20}\nservices: {a: {command: x, port: 3000}, b: {command: y, port: 3010}}")
        == []
    )


def test_ports_a_procfile_assigns_alias_on_purpose(folder):
    folder.write("Procfile", "a: x\nb: y\n")
    assert advise(folder.load()) == ()


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("vite", "vite --port ${PORT} --strictPort"),
        ("npx vite --host", "npx vite --host --port ${PORT} --strictPort"),
        ("NODE_ENV=dev pnpm exec vite dev", "NODE_ENV=dev pnpm exec vite dev --port ${PORT} --strictPort"),
        ("node_modules/.bin/astro dev", "node_modules/.bin/astro dev --port ${PORT}"),
        ("ng serve --open", "ng serve --open --port ${PORT}"),
        ("npx react-router dev", "npx react-router dev --port ${PORT} --strictPort"),
        ("expo start --web", "expo start --web --port ${PORT}"),
        ("storybook dev", "storybook dev -p ${PORT} --exact-port"),
        ("npx storybook@8 dev", "npx storybook@8 dev -p ${PORT} --exact-port"),
        ("mint dev", "mint dev --port ${PORT}"),
        ("pnpm --filter site astro dev", "pnpm --filter site astro dev --port ${PORT}"),
        ("cross-env NODE_ENV=dev vite", "cross-env NODE_ENV=dev vite --port ${PORT} --strictPort"),
        ("npx -p @angular/cli ng serve", "npx -p @angular/cli ng serve --port ${PORT}"),
        ("uv run uvicorn app:app", "uv run uvicorn app:app --port ${PORT}"),
        ("python -m flask run", "python -m flask run --port ${PORT}"),
        ("python manage.py runserver", "python manage.py runserver ${PORT}"),
        ("cd docs && mkdocs serve", "cd docs && mkdocs serve --dev-addr 127.0.0.1:${PORT}"),
    ],
)
def test_a_server_that_ignores_port_gets_the_exact_flag(folder, line, hint):
    assert one(folder, command(line))[1] == f"`command: {hint}`"


@pytest.mark.parametrize(
    "line",
    [
        "vite --port ${PORT}", "vite --port $PORT", "vite --port ${web.port}", "vite --port $WEB_PORT", "vite build --watch",
        "next dev", "node vite.js", "echo vite", "vitest", "react-scripts start", "vite --port ${PORT:-3000}",
    ],
)  # fmt: skip
def test_a_server_that_gets_its_port_is_left_alone(folder, line):
    assert warnings(folder, command(line)) == []


def test_a_list_gets_the_flag_as_a_list(folder):
    hint = one(folder, command(["vite", "dev"]))[1]
    assert hint == '`command: [vite, dev, --port, "${PORT}", --strictPort]`'
    assert warnings(folder, f"services: {{web: {{{hint.strip('`')}, port: 3000}}}}") == []  # it can be pasted


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("npm run dev", "npm run dev -- --port ${PORT} --strictPort"),
        ("npm run dev -- --host", "npm run dev -- --host --port ${PORT} --strictPort"),
        ("pnpm dev", "pnpm dev --port ${PORT} --strictPort"),
        ("yarn run dev", "yarn run dev --port ${PORT} --strictPort"),
    ],
)
def test_the_script_behind_a_package_manager_is_looked_at(folder, line, hint):
    folder.write("package.json", json.dumps({"scripts": {"dev": "vite --host"}}))
    assert one(folder, command(line))[1] == f"`command: {hint}`"


@pytest.mark.parametrize("line", ["pnpm --filter @x/web dev", "pnpm -C apps/web dev", "npm --workspace=@x/web run dev"])
def test_the_script_of_a_workspace_s_package_is_found(folder, line):
    folder.write("pnpm-workspace.yaml", "packages: ['apps/*']\n")
    folder.write("apps/web/package.json", json.dumps({"name": "@x/web", "scripts": {"dev": "astro dev"}}))
    assert "`astro dev` of `web` does not read PORT" in one(folder, command(line))[0]


def test_a_script_that_has_the_port_itself(folder):
    folder.write("package.json", json.dumps({"scripts": {"dev": "PORT=4000 tsx watch x.ts"}}))
    message, hint = one(folder, command("npm run dev", 4000))
    assert "the script of `web` has 4000 in it" in message
    assert hint == "take `PORT=4000` out, or use `$PORT` instead of `4000` in package.json"
    folder.write("package.json", json.dumps({"scripts": {"dev": "next dev -p 4000"}}))
    assert one(folder, command("npm run dev", 4000))[1] == "`$PORT` instead of `4000` in package.json"


def test_a_port_as_a_number_in_a_command(folder):
    message, hint = one(folder, command("node server.js --port 3000"))
    assert "has 3000 in it" in message
    assert hint == "`${PORT}` instead of `3000`"
    text = "services: {a: {command: 'x http://localhost:3001/', port: 3000}, b: {command: y, port: 3001}}"
    assert one(folder, text)[1] == "`${b.port}` instead of `3001`"
    assert warnings(folder, command("sleep 3000.5; x v13000 30000")) == []


def test_a_dollar_that_no_shell_reads(folder):
    assert one(folder, command(["node", "x", "$PORT"]))[1] == "`${PORT}`"
    assert warnings(folder, command(["sh", "-c", "x $PORT"])) == []


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("PORT=1", "`PORT` here is not used"),
        ("WEB_PORT=1", "`WEB_PORT` here is not used: devrun sets it for `web`"),
        ("WEB_URL=x", "`WEB_URL` here is not used"),
        ("DEVRUN_RUN=x", "`DEVRUN_RUN` is devrun's own variable"),
    ],
)
def test_variables_of_env_files_that_devrun_sets_itself(folder, line, message):
    folder.write(".env", f"A=1\n{line}\n")
    (warning,) = advise(folder.load(command("x")))
    assert message in warning.message
    assert str(warning.place) == ".env:2:1"


def test_a_variable_that_port_env_asks_for_is_fine(folder):
    folder.write(".env", "WEB_PORT=3000\nDATABASE_URL=x\n")
    assert warnings(folder, "services: {web: {command: x, port: 3000, port_env: WEB_PORT}}") == []


@pytest.mark.parametrize(
    ("port", "message"), [(6000, "browsers refuse port 6000"), (80, "port 80 (`web`) is privileged")]
)
def test_ports_nobody_can_use(folder, port, message):
    assert message in one(folder, command("x", port))[0]
