"""What vdirsyncer does when the app-specific password expires.

It needs icloud-contacts, pytest and vdirsyncer, and no Go:

    pytest test_expired.py
"""

import json
import os
import subprocess
import urllib.request

import pytest


class ICloud:
    """A fake iCloud, which ends with this process."""

    def __init__(self):
        self.process = subprocess.Popen(
            [os.environ.get("ICLOUD_CONTACTS", "icloud-contacts"), "fake",
             "-json", "-control", "127.0.0.1:0", "-exit-with-stdin"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        start = json.loads(self.process.stdout.readline())
        self.url = start["endpoint"]
        self.user = start["apple_id"]
        self.password = start["password"]
        self.control = start["control"]

    def ask(self, method, path, body=None):
        """Ask the control port, which describes itself at /openapi.json."""
        request = urllib.request.Request(
            self.control + path, method=method, data=json.dumps(body or {}).encode(),
            headers={"Content-Type": "application/json"})
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    def close(self):
        self.process.stdin.close()
        self.process.wait(timeout=10)


@pytest.fixture
def icloud():
    fake = ICloud()
    yield fake
    fake.close()


class Client:
    """The program under test: replace it by yours."""

    def __init__(self, icloud, folder):
        self.config = folder / "config"
        self.cards = folder / "cards"
        self.config.write_text(f"""
            [general]
            status_path = "{folder}/status/"
            [pair contacts]
            a = "local"
            b = "icloud"
            collections = [["book", "book", "card"]]
            [storage local]
            type = "filesystem"
            path = "{self.cards}/"
            fileext = ".vcf"
            [storage icloud]
            type = "carddav"
            url = "{icloud.url}"
            username = "{icloud.user}"
            password = "{icloud.password}"
            """.replace("\n            ", "\n"))

    def run(self, *command):
        return subprocess.run(["vdirsyncer", "--config", self.config, *command],
                              input="y\n", capture_output=True, text=True, timeout=60)

    def contacts(self):
        return sorted(path.name for path in self.cards.glob("*/*.vcf"))


def test_password_expired(icloud, tmp_path):
    client = Client(icloud, tmp_path)
    discovered = client.run("discover", "contacts")
    assert discovered.returncode == 0, discovered.stderr
    listed = client.run("sync")
    assert listed.returncode == 0, listed.stderr
    contacts = client.contacts()
    assert len(contacts) == 7

    # The password dies of age, while the client goes on using it.
    icloud.ask("POST", "accounts/first/passwords/current/expire")
    icloud.ask("DELETE", "requests")
    refused = client.run("sync")

    # It fails, it says why, and nothing is lost.
    assert refused.returncode != 0
    assert "401" in refused.stderr + refused.stdout
    assert client.contacts() == contacts

    # It does not try for ever: a dead password should cost few requests.
    requests = icloud.ask("GET", "requests")
    assert 0 < requests["total"] <= 10, requests["requests"]
    assert set(requests["by_status"]) == {"401"}
