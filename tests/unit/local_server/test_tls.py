import ipaddress
from pathlib import Path

from cryptography import x509

from quart_app.local_server.tls import make_tls_files


def test_certificate_is_for_this_machine_and_signed_by_the_authority(tmp_path: Path) -> None:
    files = make_tls_files(tmp_path / "tls")
    ca = x509.load_pem_x509_certificate(files.ca.read_bytes())
    certificate = x509.load_pem_x509_certificate(files.certificate.read_bytes())
    certificate.verify_directly_issued_by(ca)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert names.get_values_for_type(x509.IPAddress) == [ipaddress.ip_address("127.0.0.1")]


def test_key_is_for_its_owner_alone(tmp_path: Path) -> None:
    assert make_tls_files(tmp_path / "tls").key.stat().st_mode & 0o777 == 0o600


def test_certificates_are_made_once(tmp_path: Path) -> None:
    first = make_tls_files(tmp_path).certificate.read_bytes()
    assert make_tls_files(tmp_path).certificate.read_bytes() == first


def test_options_name_all_three_files(tmp_path: Path) -> None:
    files = make_tls_files(tmp_path)
    assert files.options() == [
        f"--ssl-ca={files.ca}",
        f"--ssl-cert={files.certificate}",
        f"--ssl-key={files.key}",
    ]
