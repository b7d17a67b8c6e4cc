"""Where the admin endpoint listens, and its token."""

from pathlib import Path

import pytest

from proxy.admin.options import AdminOptions


@pytest.mark.parametrize(
    ("listen", "is_reachable"),
    [
        ("127.0.0.1:3129", False),
        ("[::1]:3129", False),
        ("off", False),
        ("unix:/run/forecache.sock", False),
        ("0.0.0.0:3129", True),
        ("10.0.0.7:3129", True),
    ],
)
def test_who_can_get_there(listen: str, *, is_reachable: bool) -> None:
    assert AdminOptions(listen).is_reachable is is_reachable


def test_the_token_is_the_first_line_of_its_file(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("  secret \nmore\n")
    assert AdminOptions(token_file=str(file)).read_token() == "secret"
    assert AdminOptions(token="other").read_token() == "other"
    assert AdminOptions().read_token() == ""


def test_a_file_without_a_token(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("\nsecret\n")
    with pytest.raises(ValueError, match="no token in its first line"):
        AdminOptions(token_file=str(file)).read_token()
    with pytest.raises(FileNotFoundError):
        AdminOptions(token_file=str(tmp_path / "none")).read_token()
