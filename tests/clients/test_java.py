"""Java's HttpClient, which says Content-Length: 0 with a GET."""

from pathlib import Path

import pytest

from tests.clients.conftest import Run, program
from tests.support.house import ProcessHouse
from tests.support.origin import Origin, reply

pytestmark = pytest.mark.clients

PROGRAM = """
import java.net.InetSocketAddress;
import java.net.ProxySelector;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;

class Fetch {
    public static void main(String[] args) throws Exception {
        var proxy = new InetSocketAddress("127.0.0.1", Integer.parseInt(args[0]));
        var client = HttpClient.newBuilder().proxy(ProxySelector.of(proxy)).build();
        for (int i = 0; i < 2; i++) {
            var request = HttpRequest.newBuilder(URI.create(args[1])).build();
            var answer = client.send(request, BodyHandlers.ofString());
            var hit = answer.headers().firstValue("cache-status").orElse("").contains("; hit");
            System.out.println(hit + " " + answer.body());
        }
    }
}
"""


async def test_http_client(run: Run, process: ProcessHouse, origin: Origin, tmp_path: Path) -> None:
    java = program("java")
    origin.serve("/a", reply(200, "Cache-Control: max-age=600", body=b"hello"))
    (tmp_path / "Fetch.java").write_text(PROGRAM)
    out = await run(java, "-Xshare:auto", "Fetch.java", str(process.port), origin.url("/a"))
    assert out == "false hello\ntrue hello\n"
    assert len(origin.requests) == 1
