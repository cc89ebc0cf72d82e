"""Manual pages and completions: every command and flag is in them, and the programs that read them find nothing wrong."""

import os
import re
import subprocess

import pytest


def commands(said, path=()):
    """Every command that --help tells of: (its words, its flags)"""
    text = said(*path, "--help")
    below = re.search(r"^Commands:\n((?:  .*\n)+)", text, re.M)
    yield path, set(re.findall(r"^ +(?:-\w, |)(--[a-z-]+)", text, re.M))
    for name in re.findall(r"^  ([a-z]+)", below[1], re.M) if below else []:
        if name != "help":
            yield from commands(said, (*path, name))


@pytest.fixture(scope="module")
def every(said):
    found = dict(commands(said))
    assert len(found) > 30 and "--deny-warnings" in found["check",], found
    return found


@pytest.fixture(scope="module")
def pages(binary, tmp_path_factory):
    folder = tmp_path_factory.mktemp("man")
    subprocess.run([binary, "man", folder], check=True)
    return folder


def test_each_command_has_a_page_with_all_its_flags(every, pages, said):
    names = {"-".join(("tagwarden", *path)) + ".1" for path in every}
    assert {page.name for page in pages.iterdir()} == names
    for path, flags in every.items():
        text = (pages / ("-".join(("tagwarden", *path)) + ".1")).read_text().replace("\\-", "-").replace("\\fB", "")
        missing = {flag for flag in flags if not re.search(re.escape(flag) + r"\\fR", text)}
        assert not missing, (path, missing)
        assert '.SH "EXIT STATUS"' in text
    front = (pages / "tagwarden.1").read_text()
    assert ".SH FILES" in front and ".SH ENVIRONMENT" in front


def test_the_pages_say_every_exit_code_of_the_readme(pages):
    readme = open(os.path.join(os.path.dirname(__file__), "../../README.md"), encoding="utf-8").read()
    codes = re.search(r"Exit codes: ((?:.|\n)*?)\.\n", readme)[1].replace("\n", " ")
    told = dict(re.findall(r"(\d) ([^,]+)", codes))
    rest = (pages / "tagwarden.1").read_text().split('.SH "EXIT STATUS"')[1].split(".SH")[0]
    assert re.findall(r"\\fB(\d)\\fR", rest) == list(told) == list("012345")
    for code, meaning in told.items():
        assert meaning.strip("`").split("`")[0].lower() in rest.split(f"\\fB{code}\\fR\n")[1].split(".TP")[0].lower(), code


def test_the_formatters_warn_of_nothing(pages):
    for page in sorted(pages.iterdir()):
        for reader in (["groff", "-man", "-ww", "-Tutf8", "-z", page], ["man", "--warnings", "-l", page]):
            environment = dict(os.environ, LC_ALL="C.UTF-8", MANWIDTH="80", MANPAGER="cat")
            read = subprocess.run(reader, capture_output=True, text=True, env=environment)
            assert (read.returncode, read.stderr) == (0, ""), (reader, read.stderr)
    broken = pages / "tagwarden.1"
    text = broken.read_text()
    broken.write_text(text + ".Nonsense\n")
    read = subprocess.run(["groff", "-man", "-ww", "-Tutf8", "-z", broken], capture_output=True, text=True)
    broken.write_text(text)
    assert "Nonsense" in read.stderr, "a formatter that warns of nothing would hold nothing"


def test_a_folder_that_is_not_there_is_told(binary):
    run = subprocess.run([binary, "man", "/not/there"], capture_output=True, text=True)
    assert run.returncode == 1 and run.stderr.startswith("`/not/there` cannot be written to: "), run


@pytest.mark.parametrize("shell, reads", [("bash", "-n"), ("zsh", "-n"), ("fish", "--no-execute")])
def test_completions_are_read_by_their_shell_and_have_every_command_and_flag(said, every, tmp_path, shell, reads):
    script = tmp_path / "tagwarden"
    script.write_text(said("completion", shell))
    read = subprocess.run([shell, reads, script], capture_output=True, text=True)
    assert (read.returncode, read.stderr) == (0, ""), read
    text = script.read_text()
    for path, flags in every.items():
        if shell == "fish" and len(path) > 2:  # clap_complete goes no deeper for it
            continue
        for word in (*path, *flags):
            # fish names flags without their hyphens
            assert re.search(rf"(?<![\w-]){re.escape(word.lstrip('-') if shell == 'fish' else word)}\b", text), (path, word)


BASH = """
source "$1"
COMP_WORDS=(tagwarden {words}) COMP_CWORD={last} COMPREPLY=()
_tagwarden tagwarden "${{COMP_WORDS[COMP_CWORD]}}" "${{COMP_WORDS[COMP_CWORD-1]}}"
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
ZSH = """
autoload -U compinit
compinit -D -u
source "$1"
print -r -- ${_comps[tagwarden]}
"""


def test_bash_completes(said, tmp_path):
    script = tmp_path / "tagwarden"
    script.write_text(said("completion", "bash"))
    for words, completed in [("heal", {"healthcheck"}), ("check --deny", {"--deny-warnings"}), ("client rot", {"rotate"})]:
        text = BASH.format(words=words, last=len(words.split()))
        run = subprocess.run(["bash", "-c", text, "bash", script], capture_output=True, text=True, check=True)
        assert set(run.stdout.split()) == completed, run


def test_fish_completes(said, tmp_path):
    script = tmp_path / "tagwarden.fish"
    script.write_text(said("completion", "fish"))
    environment = dict(os.environ, HOME=str(tmp_path))
    for line, completed in [("tagwarden heal", "healthcheck"), ("tagwarden check --deny", "--deny-warnings")]:
        text = f'source $argv[1]; complete -C "{line}"'
        run = subprocess.run(["fish", "-c", text, script], capture_output=True, text=True, check=True, env=environment)
        assert [line.split("\t")[0] for line in run.stdout.splitlines()] == [completed], run


def test_zsh_takes_it_for_the_command(said, tmp_path):
    script = tmp_path / "_tagwarden"
    script.write_text(said("completion", "zsh"))
    # `-D`: nothing is dumped. `-d FILE` after it would turn that on again, and move a file onto FILE.
    environment = dict(os.environ, HOME=str(tmp_path), ZDOTDIR=str(tmp_path))
    run = subprocess.run(["zsh", "-f", "-c", ZSH, "zsh", script], capture_output=True, text=True, env=environment)
    assert [path.name for path in tmp_path.iterdir()] == ["_tagwarden"]
    assert (run.returncode, run.stdout, run.stderr) == (0, "_tagwarden\n", ""), run
