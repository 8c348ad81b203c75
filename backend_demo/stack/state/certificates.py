"""The certificate of a stack that is open to the network, from an authority that the stack makes for itself, once."""

from __future__ import annotations

import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from backend_demo.stack.state.files import write_private

#: Clients keep the authority for long. What a server holds could be stolen, and is of no use soon after.
AUTHORITY_DAYS, SERVER_DAYS = 3650, 90
#: A server certificate is made again when it has fewer days left: a third of its life.
RENEW_DAYS = SERVER_DAYS // 3


@dataclass(frozen=True)
class CertificateFiles:
    """Where the authority's certificate, and the server's with its key, are."""

    authority: Path
    certificate: Path
    key: Path

    @classmethod
    def below(cls, folder: Path) -> CertificateFiles:
        """Those of a folder."""
        return cls(folder / "ca.pem", folder / "server.pem", folder / "server.key")


def make(folder: Path, address: str, *, now: datetime.datetime | None = None) -> CertificateFiles:
    """Makes what is missing, is of another address or ends soon; the authority stays.

    `address`: a host name or an IP address, which the certificate is for, beside localhost.
    """
    now = now or datetime.datetime.now(datetime.UTC)
    files = CertificateFiles.below(folder)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    authority_key_file = folder / "ca.key"
    if not (files.authority.exists() and authority_key_file.exists()):
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bdemo authority of one stack")])
        builder = _builder(name, name, key.public_key(), now, AUTHORITY_DAYS)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        builder = builder.add_extension(_usage(authority=True), critical=True)
        write_private(authority_key_file, _key_text(key))
        write_private(files.authority, _certificate_text(builder.sign(key, hashes.SHA256())))
    if not _is_good(files, address, now):
        authority = x509.load_pem_x509_certificate(files.authority.read_bytes())
        authority_key = serialization.load_pem_private_key(authority_key_file.read_bytes(), password=None)
        assert isinstance(authority_key, ec.EllipticCurvePrivateKey)  # noqa: S101 - narrows a type
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bdemo")])
        builder = _builder(name, authority.subject, key.public_key(), now, SERVER_DAYS)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_usage(authority=False), critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        builder = builder.add_extension(x509.SubjectAlternativeName(_names(address)), critical=False)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
        builder = builder.add_extension(issuer, critical=False)
        write_private(files.key, _key_text(key))
        write_private(files.certificate, _certificate_text(builder.sign(authority_key, hashes.SHA256())))
    return files


def expiry(certificate: Path) -> datetime.datetime:
    """When the first certificate of a file ends. Raises OSError, ValueError."""
    return x509.load_pem_x509_certificate(certificate.read_bytes()).not_valid_after_utc


def _is_good(files: CertificateFiles, address: str, now: datetime.datetime) -> bool:
    """Whether there is a certificate of this authority for the address, for some time to come."""
    try:
        found = x509.load_pem_x509_certificate(files.certificate.read_bytes())
        found.verify_directly_issued_by(x509.load_pem_x509_certificate(files.authority.read_bytes()))
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        key = serialization.load_pem_private_key(files.key.read_bytes(), password=None)
    except Exception:  # noqa: BLE001 - whatever is wrong with it, a new one is made
        return False
    left = found.not_valid_after_utc - now
    same_key = key.public_key() == found.public_key()
    return same_key and list(names) == _names(address) and left > datetime.timedelta(days=RENEW_DAYS)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime.datetime, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        # devices' clocks may be late
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _names(address: str) -> list[x509.GeneralName]:
    try:
        own: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(address))
    except ValueError:
        own = x509.DNSName(address)
    here = [x509.DNSName("localhost"), *(x509.IPAddress(ipaddress.ip_address(each)) for each in ("127.0.0.1", "::1"))]
    return [own, *(name for name in here if name != own)]


def _key_text(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def _certificate_text(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()
