"""Certificates for a test, made by the openssl command: an authority, and what it issues, revokes or lets expire."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from patchclip_node.domain.transport_security import TlsCredentials, TlsProfile

_CONFIGURATION = """
[ca]
default_ca = authority
[authority]
database = {folder}/index.txt
new_certs_dir = {folder}
serial = {folder}/serial
crlnumber = {folder}/crlnumber
certificate = {folder}/ca.pem
private_key = {folder}/ca.key
default_md = sha256
default_days = 90
default_crl_days = 30
policy = any
unique_subject = no
copy_extensions = copy
x509_extensions = issued
[any]
commonName = supplied
[req]
distinguished_name = name
[name]
[issued]
basicConstraints = CA:false
authorityKeyIdentifier = keyid
crlDistributionPoints = URI:http://pki.example.org/authority.crl
[authority_extensions]
basicConstraints = critical, CA:true
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
"""


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate and its key, as files."""

    certificate: Path
    key: Path

    @property
    def fingerprint(self) -> str:
        """SHA-256 as openssl writes it, with colons."""
        shown = _openssl("x509", "-in", str(self.certificate), "-noout", "-fingerprint", "-sha256")
        return shown.strip().partition("=")[2]


class Authority:
    """A certificate authority in a separate folder."""

    def __init__(self, folder: Path, name: str = "Test Authority") -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self._configuration = folder / "openssl.cnf"
        self._configuration.write_text(_CONFIGURATION.format(folder=folder))
        (folder / "index.txt").touch()
        (folder / "serial").write_text("1000\n")
        (folder / "crlnumber").write_text("1000\n")
        self.ca, self.crl = folder / "ca.pem", folder / "crl.pem"
        arguments = ("-subj", f"/CN={name}", "-extensions", "authority_extensions", "-days", "90")
        self._request(folder / "ca.key", self.ca, "-x509", *arguments)
        self.renew_crl()

    def issue(self, name: str, *, days: tuple[str, str] | None = None, address: str = "127.0.0.1") -> Certificate:
        """Issue one with a common name, which is a DNS name of it, too. days: from and until, as YYMMDDHHMMSSZ."""
        made = Certificate(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        asked = self._folder / f"{name}.csr"
        alternatives = f"subjectAltName=DNS:{name},IP:{address}"
        self._request(made.key, asked, "-subj", f"/CN={name}", "-addext", alternatives)
        validity = () if days is None else ("-startdate", days[0], "-enddate", days[1])
        self._ca("-in", str(asked), "-out", str(made.certificate), "-notext", *validity)
        return made

    def expired(self, name: str) -> Certificate:
        """Issue one that was good until 2021."""
        return self.issue(name, days=("200101000000Z", "210101000000Z"))

    def revoke(self, certificate: Certificate) -> None:
        """Take it back, and say so in a new CRL."""
        self._ca("-revoke", str(certificate.certificate))
        self.renew_crl()

    def renew_crl(self) -> None:
        """Write the list of what is revoked."""
        self._ca("-gencrl", "-out", str(self.crl))

    def credentials(self, certificate: Certificate, profile: TlsProfile = TlsProfile.BCP195) -> TlsCredentials:
        """Return what a node with this certificate shows and believes."""
        return TlsCredentials(certificate.certificate, certificate.key, self.ca, self.crl, profile)

    def _request(self, key: Path, out: Path, *arguments: str) -> None:
        made = ("-newkey", "rsa:2048", "-nodes", "-keyout", str(key), "-out", str(out))
        _openssl("req", "-config", str(self._configuration), *made, *arguments)

    def _ca(self, *arguments: str) -> None:
        _openssl("ca", "-batch", "-config", str(self._configuration), *arguments)


def _openssl(*arguments: str) -> str:
    finished = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout
