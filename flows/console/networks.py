"""`derain models`, which lists the available networks, and the meaning of the word after `--model`."""

from __future__ import annotations

from flows.console.lines import say
from infra.records import model_label
from infra.settings import read_settings
from infra.tracking.registry import STUDENT, Registry
from models.shipped import DEFAULT, ShippedNetwork, shipped_networks
from tasks.resolved_model import has_registry, registered_url, weights_file


def model_url(typed: str) -> str:
    """Resolve a typed name to `models:/name@alias`, `models:/name/version`, or the path of a weights file.

    Raises
    ------
    NetworkUnknown
        If it is neither a network nor a file; the message suggests the most similar name.
    """
    if typed.startswith("models:/"):
        return typed
    return registered_url(typed) or str(weights_file(typed))


def models() -> None:
    """List the shipped and the registered networks, with their sizes and figures."""
    settings = read_settings()
    say("Networks that ship, for --model NAME; psnr_y on held-out photographs:")
    for network in shipped_networks():
        say(_line(network))
    if not has_registry(settings):
        champion = model_label(STUDENT, "1")
        say(f"Registered: none yet; the champion is {champion}, which is {DEFAULT}.")
        return
    say("Registered, for --model NAME/VERSION or NAME@ALIAS:")
    for version in Registry(settings).versions():
        aliases = "".join(f"  @{alias}" for alias in version.aliases)
        say(
            f"  {model_label(version.name, version.version)}  {version.registered_at:%Y-%m-%d %H:%M}{aliases}"
        )


def _line(network: ShippedNetwork) -> str:
    config = network.config
    figures = config["facts"].get("validation_psnr_y", {})
    known = ", ".join(f"{rain} rain {figures[rain]:.1f} dB" for rain in ("light", "heavy") if rain in figures)
    size = network.path.stat().st_size / 1e6
    return (
        f"  {network.name:<14} {config['parameters'] / 1e6:5.2f} M parameters {size:5.1f} MB"
        f" {config['gmac']:6.1f} GMAC at 512x512   {known}"
    )
