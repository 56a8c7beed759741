"""A Redis 7 that speaks TLS alone, to clients with a certificate, and lets each user do what its role needs."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import quote

import redis

from orchestrator_client.redis_users import acl_file, redis_users
from tests.conftest import wait_until
from tests.processes import hold_port

ADMIN = "test-admin"


def server_with_tls() -> str | None:
    """A redis-server of version 7 or newer that can speak TLS; None if there is none on PATH."""
    server = shutil.which("redis-server")
    if server is None or shutil.which("openssl") is None:
        return None
    version = subprocess.run([server, "--version"], capture_output=True, text=True, check=False).stdout
    if not version.startswith("Redis server v=") or int(version.split("v=")[1].split(".")[0]) < 7:
        return None
    tried = subprocess.run([server, "--port", "0", "--tls-port", "1", "-"], input=b"", capture_output=True, check=False)
    return server if b"tls" in tried.stdout.lower() else None


class SecuredRedis:
    """The server, its certificates, and the URL of each user."""

    def __init__(self, server: str, folder: Path, *namespaces: str) -> None:
        self._server, self._folder = server, folder
        self.port = hold_port()
        self._make_certificates()
        users = [user for name in namespaces or ("",) for user in redis_users(name, ["openai"])]
        self._passwords = {user.name: f"{user.name}-p@ss/w:rd" for user in users}
        text = acl_file(users, self._passwords) + f"user {ADMIN} on >{ADMIN} ~* &* +@all\n"
        (folder / "users.acl").write_text(text)
        self._passwords[ADMIN] = ADMIN
        self.start()

    def start(self) -> None:
        folder = self._folder
        options = ["--port", "0", "--tls-port", str(self.port), "--bind", "127.0.0.1", "--tls-auth-clients", "yes"]
        options += ["--tls-cert-file", "server.crt", "--tls-key-file", "server.key", "--tls-ca-cert-file", "ca.crt"]
        options += ["--aclfile", "users.acl", "--save", "", "--appendonly", "yes", "--dir", str(folder)]
        options += ["--acllog-max-len", "1000"]
        with (folder / "redis.log").open("ab") as log:
            self.process = subprocess.Popen([self._server, *options], cwd=folder, stdout=log, stderr=log)
        self.admin: Any = redis.Redis.from_url(self.url(ADMIN), decode_responses=True)
        wait_until(self._answers, "the secured Redis answers")

    def url(self, user: str) -> str:
        """Of the fleet, for one of its users."""
        files = {"ssl_ca_certs": "ca.crt", "ssl_certfile": "client.crt", "ssl_keyfile": "client.key"}
        query = "&".join(f"{name}={self._folder / file}" for name, file in files.items())
        return f"rediss://{user}:{quote(self._passwords[user], safe='')}@127.0.0.1:{self.port}/0?{query}"

    def as_user(self, user: str) -> Any:
        """A bare connection."""
        return redis.Redis.from_url(self.url(user), decode_responses=True)

    def refusals(self) -> list[str]:
        """What users were refused since the last `forget`, a line each."""
        return [f"{e['username']}: {e['reason']} {e['object']} ({e['context']})" for e in self.admin.acl_log()]

    def forget(self) -> None:
        self.admin.acl_log_reset()

    def kill(self) -> None:
        self.admin.close()
        self.process.kill()
        self.process.wait()

    def _answers(self) -> bool:
        try:
            return bool(self.admin.ping())
        except redis.RedisError:
            return False

    def _make_certificates(self) -> None:
        """A certificate authority, and what it vouches for: this machine's server, and its clients."""
        self._openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test-ca",
                      "-keyout", "ca.key", "-out", "ca.crt")  # fmt: skip
        (self._folder / "names").write_text("subjectAltName=IP:127.0.0.1\n")
        for name in ("server", "client"):
            self._openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}",
                          "-keyout", f"{name}.key", "-out", f"{name}.csr")  # fmt: skip
            self._openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial",
                          "-days", "2", "-extfile", "names", "-out", f"{name}.crt")  # fmt: skip

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=self._folder, check=True, capture_output=True)
