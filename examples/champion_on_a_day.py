"""Which version served on a day? `python examples/champion_on_a_day.py /absolute/path/of/workspace 2026-03-08`."""

import sys
from datetime import UTC, datetime

from infra.catalog.promotions import Ledger

day = datetime.fromisoformat(sys.argv[2]).replace(tzinfo=UTC)
print(Ledger(sys.argv[1]).champion_on("derain-student", day))
