"""Other proxies: how each is told to cache all that it may, on one core.

Every one of them writes an access log, keeps 512 MiB of the hottest in memory if it has such a
setting, compresses text for clients if it can, and leaves clients connected for ten minutes.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Final

from tests.bench.contestants import MOST_CONNECTIONS, Contestant
from tests.bench.processes import progress

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tests.bench.contestants import Setting

_VERSION: Final = re.compile(r"\d+(?:\.\d+)+")


def _squid(setting: Setting) -> list[str]:
    folder = setting.folder
    (folder / "cache").mkdir()
    user = _give(folder, "proxy")
    file = folder / "squid.conf"
    file.write_text(
        f"http_port 127.0.0.1:{setting.port}\n"
        "http_access allow all\n"
        "cache_mem 512 MB\n"
        "maximum_object_size_in_memory 12 MB\n"
        "maximum_object_size 200 MB\n"
        f"cache_dir aufs {folder}/cache 4000 16 64\n"
        f"access_log stdio:{folder}/access.log\n"
        f"cache_log {folder}/cache.log\n"
        f"pid_filename {folder}/squid.pid\n"
        f"coredump_dir {folder}\n"
        "client_idle_pconn_timeout 10 minutes\n"
        "shutdown_lifetime 1 second\n"
        f"max_filedescriptors {MOST_CONNECTIONS}\n"
        + (f"cache_effective_user {user}\n" if user else "")
    )
    # Two on one machine need two names.
    command = ["squid", "-n", f"bench{setting.port}", "-N", "-f", str(file)]
    subprocess.run([*command, "-z"], capture_output=True, check=True)
    return command


def _nginx(setting: Setting) -> list[str]:
    folder = setting.folder
    (folder / "passing").mkdir()
    kinds = ("client_body", "fastcgi", "uwsgi", "scgi", "proxy")
    temporary = " ".join(f"{kind}_temp_path {folder}/passing;" for kind in kinds)
    user = "user root;" if os.geteuid() == 0 else ""
    file = folder / "nginx.conf"
    file.write_text(f"""
        {user} worker_processes 1; daemon off; pid {folder}/nginx.pid;
        error_log {folder}/error.log;
        events {{ worker_connections {MOST_CONNECTIONS}; }}
        http {{
            access_log {folder}/access.log; {temporary}
            sendfile on; tcp_nopush on; keepalive_requests 1000000000; keepalive_timeout 10m;
            gzip on; gzip_proxied any; gzip_types text/plain;
            proxy_cache_path {folder}/cache levels=1:2 keys_zone=all:64m max_size=4g
                             use_temp_path=off;
            upstream origin {{
                server 127.0.0.1:{setting.origin}; keepalive 64; keepalive_requests 1000000000;
            }}
            server {{
                listen 127.0.0.1:{setting.port} backlog=1024;
                location / {{
                    proxy_pass http://origin; proxy_http_version 1.1;
                    proxy_set_header Connection ""; proxy_set_header Host $http_host;
                    proxy_cache all; proxy_cache_key $scheme$http_host$request_uri;
                    proxy_cache_revalidate on;
                }}
            }}
        }}
        """)
    return ["nginx", "-c", str(file)]


_TRAFFIC_SERVER: Final = """
proxy.config.http.server_ports STRING {port}:ip-in=127.0.0.1
proxy.config.http.connect_ports STRING {other}
proxy.config.exec_thread.autoconfig INT 0
proxy.config.exec_thread.limit INT 1
proxy.config.accept_threads INT 0
proxy.config.task_threads INT 1
proxy.config.reverse_proxy.enabled INT 0
proxy.config.url_remap.remap_required INT 0
proxy.config.url_remap.pristine_host_hdr INT 1
proxy.config.http.cache.http INT 1
proxy.config.http.cache.required_headers INT 2
proxy.config.http.insert_response_via_str INT 1
proxy.config.http.keep_alive_no_activity_timeout_in INT 600
proxy.config.cache.ram_cache.size INT 536870912
proxy.config.cache.ram_cache_cutoff INT 12582912
proxy.config.net.max_connections_in INT {most}
proxy.config.net.connections_throttle INT {most}
proxy.config.local_state_dir STRING {folder}/run
proxy.config.log.logfile_dir STRING {folder}/log
proxy.config.diags.output.diag STRING L
"""
_ALLOW: Final = """
ip_allow:
  - {apply: in, ip_addrs: 127.0.0.0/8, action: allow, methods: ALL}
  - {apply: out, ip_addrs: 0/0, action: allow, methods: ALL}
"""


def _trafficserver(setting: Setting) -> list[str]:
    folder = setting.folder
    for name in ("cache", "log", "run", "share"):
        (folder / name).mkdir()
    etc = folder / "etc"
    shutil.copytree("/etc/trafficserver", etc)
    user = _give(folder, "trafficserver")
    named = _TRAFFIC_SERVER.format(
        port=setting.port, other=setting.other, folder=folder, most=MOST_CONNECTIONS
    ).split("\n")
    if user:
        named.append(f"proxy.config.admin.user_id STRING {user}")
    lines = [f"CONFIG {line}\n" for line in named if line]
    (etc / "records.config").write_text("".join(lines))
    (etc / "storage.config").write_text(f"{folder}/cache 4G\n")
    (etc / "ip_allow.yaml").write_text(_ALLOW)
    places = {
        "prefix": "/usr",
        "exec_prefix": "/usr",
        "bindir": "/usr/bin",
        "sbindir": "/usr/bin",
        "includedir": "/usr/include",
        "mandir": "/usr/share/man",
        "libdir": "/usr/lib",
        "infodir": "/usr/share/info",
        "libexecdir": "/usr/lib/trafficserver/modules",
        "sysconfdir": etc,
        "datadir": folder / "share",
        "localstatedir": folder / "run",
        "runtimedir": folder / "run",
        "logdir": folder / "log",
        "cachedir": folder / "cache",
    }
    root = folder / "runroot.yaml"
    root.write_text("".join(f"{name}: {place}\n" for name, place in places.items()))
    _give(folder, "trafficserver")
    return ["traffic_server", f"--run-root={root}"]


def _give(folder: Path, user: str) -> str:
    """The user to run as, who gets the folder; "" if that is ours to say for root alone."""
    if os.geteuid() != 0:
        return ""
    for path in (folder, *folder.rglob("*")):
        shutil.chown(path, user)
    return user


def _said(*command: str) -> Callable[[], str]:
    """The first version number in what the command prints."""

    def version() -> str:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        found = _VERSION.search(done.stdout + done.stderr)
        return found[0] if found else "?"

    return version


PEERS: Final = {
    "squid": Contestant("squid", _squid, _said("squid", "-v")),
    "nginx": Contestant("nginx", _nginx, _said("nginx", "-v"), tunnels=False),
    "trafficserver": Contestant("trafficserver", _trafficserver, _said("traffic_server", "-V")),
}
_BINARIES: Final = {"trafficserver": "traffic_server"}


def installed(names: Sequence[str]) -> list[Contestant]:
    """Those of these peers that are here; a line for each that is not."""
    found = []
    for name in names:
        if shutil.which(_BINARIES.get(name, name)):
            found.append(PEERS[name])
        else:
            progress(f"{name} is not installed: skipped")
    return found
