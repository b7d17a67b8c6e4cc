from __future__ import annotations

import pytest

from proxy.access import clients
from proxy.access.clients import Lines, Rates, Shares, client_of


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("::1", "::/64"),
        ("fe80::1%eth0", "fe80::1"),
        ("fe80::2%eth0", "fe80::2"),
        ("-", "-"),
    ],
)
def test_what_counts_as_one_client(address: str, client: str) -> None:
    assert client_of(address) == client


class TestShares:
    @pytest.mark.parametrize(
        ("most", "alone", "next_one"), [(1, 1, 0), (2, 2, 0), (3, 2, 1), (8, 5, 2), (64, 33, 16)]
    )
    def test_nobody_takes_all_of_three_or_more(self, most: int, alone: int, next_one: int) -> None:
        shares = Shares(most)
        for client, taken in (("a", alone), ("b", next_one)):
            while shares.may_take(client):
                shares.take(client)
            assert shares.of(client) == taken

    def test_of_one_client_there_is_a_limit(self) -> None:
        shares = Shares(100, each=2)
        shares.take("a")
        shares.take("a")
        assert not shares.may_take("a")
        assert shares.may_take("b")

    def test_what_is_given_back_is_free(self) -> None:
        shares = Shares(1)
        shares.take("a")
        assert not shares.may_take("b")
        shares.give_back("a")
        assert shares.total == shares.of("a") == 0
        assert shares.may_take("b")


class TestLines:
    def test_clients_take_turns(self) -> None:
        lines: Lines[str] = Lines()
        for item in ("a1", "a2", "a3", "b1", "c1", "b2"):
            lines.add(item[0], item)
        assert len(lines) == 6
        served = [found[1] for _ in range(6) if (found := lines.next(lambda _: True))]
        assert served == ["a1", "b1", "c1", "a2", "b2", "a3"]
        assert lines.next(lambda _: True) is None

    def test_who_may_not_is_passed_over_and_keeps_its_place(self) -> None:
        lines: Lines[str] = Lines()
        for item in ("a1", "b1", "b2"):
            lines.add(item[0], item)
        assert lines.next(lambda client: client != "a") == ("b", "b1")
        assert lines.next(lambda _: False) is None
        assert lines.next(lambda _: True) == ("a", "a1")

    def test_who_leaves_is_not_served(self) -> None:
        lines: Lines[str] = Lines()
        for item in ("a1", "a2"):
            lines.add("a", item)
        for item in ("a1", "a3", "a2"):
            lines.remove("a", item)
        lines.remove("b", "b1")
        assert len(lines) == 0
        lines.add("a", "a4")
        assert lines.clear() == ["a4"]
        assert lines.next(lambda _: True) is None


class TestRates:
    def test_ten_seconds_at_once_and_then_one_by_one(self) -> None:
        rates = Rates(2)
        assert [rates.take("a", 100.0) for _ in range(20)] == [0.0] * 20
        assert rates.take("a", 100.0) == pytest.approx(0.5)
        assert rates.take("a", 100.4) == pytest.approx(0.1)
        assert rates.take("b", 100.4) == 0.0
        assert rates.take("a", 100.5) == 0.0
        assert rates.take("a", 100.5) == pytest.approx(0.5)
        assert [rates.take("a", 200.0) for _ in range(20)] == [0.0] * 20, "it does not grow"

    def test_less_than_one_in_ten_seconds(self) -> None:
        rates = Rates(0.05)
        assert rates.take("a", 0.0) == 0.0
        assert rates.take("a", 0.0) == pytest.approx(20.0)
        assert rates.take("a", 20.0) == 0.0

    def test_a_rate_is_kept_however_often_it_is_asked(self) -> None:
        rates = Rates(7)
        allowed = sum(rates.take("a", tick / 100) == 0.0 for tick in range(10_000))
        assert allowed == pytest.approx(7 * 100 + 70, abs=1)

    def test_who_has_not_asked_for_the_longest_time_is_forgotten(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(clients, "_REMEMBERED", 2)
        rates = Rates(0.1)
        for client in ("a", "b", "a", "c"):
            rates.take(client, 0.0)
        assert rates.take("a", 0.0) > 0
        assert rates.take("c", 0.0) > 0
        assert rates.take("b", 0.0) == 0.0
