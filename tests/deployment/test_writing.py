"""Files for other programs: read by those programs themselves, or by what checks their language, where it is there."""

import configparser
import json
import os
import shlex
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from simple_templates import GEMMA, LLAMA_3, LONG, SHOUTED, WITH_DEFAULT

from burnish.checkpoints.formats import write_formats
from burnish.console.display import Display
from burnish.deployment.exported import Exported, exported_model
from burnish.deployment.ollama import go_template
from burnish.deployment.programs import Program, gguf_formats, needs_folder
from burnish.deployment.turns import turns
from burnish.deployment.writing import write_deployment
from burnish.errors import BurnishError
from burnish.recipes.runner.running import run
from burnish.text.chat import render
from burnish.text.tokenizer import Tokenizer
from tiny_models import tiny_decoder
from workshop import SAME_BITS, make_workshop

SYSTEM = 'Answer in "SQL", 100 % exact.\nNo $prose.'
PROGRAMS: list[Program] = ["ollama", "llama.cpp", "vllm", "docker", "systemd"]


@pytest.fixture(scope="module")
def exported(tiny_tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """A model in both formats, in a folder whose name wants quoting."""
    folder = tmp_path_factory.mktemp("out") / "our model"
    decoder = tiny_decoder(vocab_size=tiny_tokenizer.vocab_size, d_model=32)
    written = write_formats(decoder, tiny_tokenizer, folder, name="o'hare", gguf=["F32"], model=folder / "model")
    return exported_model(
        "o'hare", folder, written, tiny_tokenizer, context_length=200, system=SYSTEM, temperature=0.0, stop=["\n\n"]
    )


def write(exported: Exported, program: Program) -> tuple[Path, list[str]]:
    said: list[str] = []
    (path,) = write_deployment(exported, [program], said.append)
    return path, said


@pytest.mark.parametrize(
    ("program", "script", "options"),
    [
        ("llama.cpp", "llama-server", {"--model": "o'hare-F32.gguf", "--alias": "o'hare", "--ctx-size": "200"}),
        ("vllm", "vllm", {"serve": "model", "--served-model-name": "o'hare", "--max-model-len": "200"}),
    ],
)
def test_a_script_starts_the_server_with_the_model_beside_it(
    program: Program, script: str, options: dict[str, str], exported: Exported, tmp_path: Path
) -> None:
    path, _ = write(exported, program)
    stand_in = tmp_path / script
    stand_in.write_text('#!/bin/sh\nfor word in "$@"; do printf "%s\\n" "$word"; done\n')
    stand_in.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(
        [path, "--port", "9"], env=environment, cwd="/", capture_output=True, text=True, check=True
    )  # from another folder
    words = done.stdout.splitlines()
    for option, value in options.items():
        given = words[words.index(option) + 1]
        assert given == value or Path(given) == exported.folder / value
        assert not given.startswith("/") or Path(given).exists()
    assert words[words.index("--host") + 1] == "127.0.0.1"
    assert words[-2:] == ["--port", "9"]  # the last wins
    assert all(f"#     {line}" in path.read_text() for line in SYSTEM.splitlines())


def test_a_modelfile_has_template_system_stops_and_context(exported: Exported) -> None:
    path, said = write(exported, "ollama")
    text = path.read_text()
    assert not said
    assert "FROM ./o'hare-F32.gguf\n" in text
    assert f'SYSTEM """{SYSTEM}"""\n' in text
    assert 'PARAMETER stop "<|im_end|>"\n' in text
    assert 'PARAMETER stop "\\n\\n"\n' in text
    assert text.endswith("PARAMETER num_ctx 200\nPARAMETER temperature 0\n")


def test_what_a_modelfile_cannot_hold_is_said(exported: Exported) -> None:
    odd = replace(
        exported,
        tokenizer=replace(exported.tokenizer, chat_template=SHOUTED),
        system='three """ marks',
        temperature=None,
    )
    path, said = write(odd, "ollama")
    assert not {"TEMPLATE", "SYSTEM", "temperature"} & set(path.read_text().split())
    assert [line.split(",")[0] for line in said] == [
        "Modelfile: the chat template does more than put texts around messages",
        'Modelfile: the system prompt holds """',
    ]
    path, said = write(replace(odd, system='Say "yes"'), "ollama")
    assert "SYSTEM" not in path.read_text()
    assert len(said) == 2


GO = """package main
import ("encoding/json"; "os"; "text/template")
type Message struct { Role, Content string }
func main() {
  var cases []struct { Template, System string; Messages []Message }
  if err := json.NewDecoder(os.Stdin).Decode(&cases); err != nil { panic(err) }
  texts := []string{}
  for _, one := range cases {
    var out = new(writer)
    if err := template.Must(template.New("").Parse(one.Template)).Execute(out, one); err != nil { panic(err) }
    texts = append(texts, string(*out))
  }
  json.NewEncoder(os.Stdout).Encode(texts)
}
type writer []byte
func (w *writer) Write(p []byte) (int, error) { *w = append(*w, p...); return len(p), nil }
"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("go") is None, reason="Go, whose templates Ollama runs, is not installed")
def test_go_renders_the_template_as_jinja_does(tiny_tokenizer: Tokenizer, tmp_path: Path) -> None:
    braces = "{% for m in messages %}{{ '{{' }}{{ m.role }}}}\n{{ m.content }}<|im_end|>\n{% endfor %}{{ '{{a}}' }}"
    cases, expected = [], []
    for chat_template in (tiny_tokenizer.chat_template, LLAMA_3, GEMMA, WITH_DEFAULT, braces):
        tokenizer = replace(tiny_tokenizer, chat_template=chat_template)
        found = turns(tokenizer)
        if chat_template == braces and found is None:
            continue
        assert found is not None
        for messages in (LONG, LONG[1:], LONG[1:2]):
            system = str(messages[0]["content"]) if messages[0]["role"] == "system" else ""
            shown = [{"Role": message["role"], "Content": message["content"]} for message in messages]
            cases.append({"Template": go_template(found), "System": system, "Messages": shown})
            expected.append(render(tokenizer, messages, add_generation_prompt=True))
    (tmp_path / "main.go").write_text(GO)
    environment = {**os.environ, "GOCACHE": str(tmp_path / "cache"), "GO111MODULE": "off"}
    done = subprocess.run(
        ["go", "run", tmp_path / "main.go"],
        input=json.dumps(cases),
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == expected


def test_a_container_serves_the_copied_folder_with_keys(exported: Exported) -> None:
    path, _ = write(exported, "docker")
    lines = path.read_text().splitlines()
    (copied,) = [json.loads(line.removeprefix("COPY ")) for line in lines if line.startswith("COPY [")]
    (command,) = [json.loads(line.removeprefix("CMD ")) for line in lines if line.startswith("CMD ")]
    assert (exported.folder / copied[0]).is_dir()
    assert command[:3] == ["burnish", "serve", copied[1]]
    assert command[command.index("--system") + 1] == SYSTEM
    assert "--keys" in command  # it listens to all
    assert all("--no-index" in line for line in lines if line.startswith("RUN pip"))


def test_a_unit_passes_the_command_word_by_word(exported: Exported) -> None:
    path, _ = write(exported, "systemd")
    unit = configparser.RawConfigParser(strict=False)
    unit.read_string(path.read_text())
    words = shlex.split(unit["Service"]["execstart"].replace("\\n", "\n"))
    read = [word.replace("%%", "%").replace("$$", "$") for word in words]
    assert read[:3] == ["/opt/burnish/bin/burnish", "serve", "/srv/burnish/model"]
    assert read[read.index("--name") + 1] == "o'hare"
    assert read[read.index("--system") + 1] == SYSTEM


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_takes_the_unit(exported: Exported, tmp_path: Path) -> None:
    path, _ = write(exported, "systemd")
    unit = tmp_path / path.name
    unit.write_text(path.read_text().replace("/opt/burnish/bin/burnish", "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
    assert str(unit) not in done.stderr
    assert "burnish.service" not in done.stderr


def test_a_program_without_its_kind_of_file_names_the_option(exported: Exported) -> None:
    with pytest.raises(BurnishError, match="ollama reads a GGUF file, and none was exported; add --gguf Q8_0"):
        write(replace(exported, gguf=None), "ollama")
    with pytest.raises(BurnishError, match="vllm reads the model's folder, and none was exported; add --folder"):
        write(replace(exported, model=None), "vllm")
    assert gguf_formats(["ollama"], []) == ["Q8_0"]
    assert gguf_formats(["ollama"], ["F16"]) == ["F16"]
    assert gguf_formats(["vllm"], []) == []
    assert [needs_folder([program]) for program in PROGRAMS] == [False, False, True, True, True]


def test_the_stage_writes_the_files_beside_the_model(tmp_path: Path) -> None:
    recipe = (
        "name: numbers" + SAME_BITS + "\nsystem: Answer in SQL.\nstages:\n  - type: export\n    model: base\n"
        "    deploy: [ollama, docker]\n"
    )
    run(make_workshop(tmp_path, recipe), runs=tmp_path / "runs", display=Display(quiet=True))
    stage = tmp_path / "runs" / "numbers" / "01-export"
    assert {"Modelfile", "Dockerfile", "model", "numbers-Q8_0.gguf"} <= {path.name for path in stage.iterdir()}
    assert 'SYSTEM """Answer in SQL."""' in (stage / "Modelfile").read_text()
