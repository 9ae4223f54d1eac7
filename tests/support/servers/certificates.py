"""Certificate files of a temporary Dask cluster, for processes and settings that take paths."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from distributed import Security


@dataclass(frozen=True, slots=True)
class Certificates:
    """Paths of the PEM files; the certificate is self-signed."""

    certificate: Path
    key: Path

    def settings(self, address: str) -> dict[str, str]:
        """Return the fields of `infra.settings.Settings` for a cluster at this address."""
        paths = {"tls_ca": self.certificate, "tls_cert": self.certificate, "tls_key": self.key}
        return {"cluster": address, **{name: str(path) for name, path in paths.items()}}

    def options(self) -> list[str]:
        """Return the options of `dask scheduler` and `dask worker`."""
        paths = {"ca-file": self.certificate, "cert": self.certificate, "key": self.key}
        return [part for name, path in paths.items() for part in (f"--tls-{name}", str(path))]

    def security(self) -> Security:
        """Return the security options of a client of the cluster."""
        return Security(
            require_encryption=True,
            tls_ca_file=str(self.certificate),
            tls_client_cert=str(self.certificate),
            tls_client_key=str(self.key),
        )


def written(security: Security, folder: Path) -> Certificates:
    """Write the certificate and the key of `Security.temporary` to files."""
    folder.mkdir(parents=True, exist_ok=True)
    files = Certificates(folder / "certificate.pem", folder / "key.pem")
    files.certificate.write_text(security.tls_client_cert)
    files.key.touch(mode=0o600)
    files.key.write_text(security.tls_client_key)
    return files
