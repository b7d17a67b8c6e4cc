"""What the start says."""

from pathlib import Path

import pytest

from proxy import __version__
from proxy.config import Settings, load
from proxy.config.banner import banner, line

param = pytest.param


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load(Path("/dev/null"), {}, {"--cache-dir": "/cache", "--max-size": "1GiB"})


def test_a_person_reads_what_to_paste(settings: Settings) -> None:
    assert banner(settings, 150 * 2**20) == (
        f"Forecache {__version__}\n"
        "  listening on 127.0.0.1:3128\n"
        "  cache in     /cache, 150 MiB of 1GiB\n"
        "  configured   /dev/null\n"
        "\n"
        "Use it from a shell:\n"
        "  export http_proxy=http://127.0.0.1:3128 https_proxy=http://127.0.0.1:3128\n"
        "Try it, twice:\n"
        "  curl -s -o /dev/null -D - -x http://127.0.0.1:3128 http://example.com/\n"
    )


def test_a_log_reads_one_line(settings: Settings) -> None:
    assert line(settings, 0, ["127.0.0.1:40001"]) == (
        f"Forecache {__version__} listening on 127.0.0.1:40001; cache /cache, 0 B of 1GiB"
    )


@pytest.mark.parametrize(
    ("listening", "url"),
    [
        param("0.0.0.0:1", "http://127.0.0.1:1", id="every IPv4 address"),
        param("[::]:1", "http://[::1]:1", id="every address"),
        param("192.0.2.1:1", "http://192.0.2.1:1", id="one address"),
    ],
)
def test_the_url_can_be_reached(listening: str, url: str, settings: Settings) -> None:
    text = banner(settings, 0, [listening])
    assert f"export http_proxy={url} https_proxy={url}\n" in text
    assert f"listening on {listening}\n" in text


@pytest.mark.parametrize(
    ("octets", "text"),
    [(1023, "1023 B"), (1024, "1 KiB"), (1536, "1.5 KiB"), (2**40 * 5000, "5000.0 TiB")],
)
def test_fullness(octets: int, text: str, settings: Settings) -> None:
    assert f", {text} of 1GiB" in line(settings, octets)


def test_without_a_file(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.config.layers.SYSTEM_FILE", Path("/absent"))
    without = load(None, {"XDG_CONFIG_HOME": "/absent"})
    assert "by default: no configuration file" in banner(without, 0)
