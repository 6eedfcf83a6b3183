"""What is measured: paths, kinds of load, and at which concurrency."""

from dataclasses import dataclass

from benchmarks.load import Kind
from benchmarks.systems import Family, System

CROWD = 1000
CONCURRENCIES = (1, 4, 16, 64, 256, CROWD)
SIEGE_CONCURRENCIES = (1, 4, 16)


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """One thing that clients do."""

    name: str
    path: str
    kind: Kind
    what: str

    def suits(self, system: System) -> bool:
        """Tell if the system can be asked for it: a bare one only answers a text."""
        return system.family is not Family.BARE or self is NO_DATABASE


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A workload at one concurrency."""

    workload: Workload
    concurrency: int

    def suits(self, system: System) -> bool:
        """Tell if the system is asked for it, at this concurrency."""
        return self.workload.suits(system) and self.concurrency <= system.most_clients


_CITY = "/?city=london"
LOOKUP = Workload(name="lookup", path=_CITY, kind=Kind.GET, what="GET /?city=london")
NAMES = Workload(name="names", path=_CITY, kind=Kind.NAMES, what="the same, 20 cities in turn")
NO_DATABASE = Workload(
    name="nodb", path="/nodb?city=london", kind=Kind.GET, what="the same answer, no database"
)
LIST = Workload(name="list", path="/cities?limit=100", kind=Kind.GET, what="100 cities as JSON")
POST = Workload(name="post", path=_CITY, kind=Kind.POST, what="keyed POST, one transaction")
MIX = Workload(name="mix", path=_CITY, kind=Kind.MIX, what="90 lookups to 10 keyed POSTs")
SIEGE = Workload(name="siege", path=_CITY, kind=Kind.SIEGE, what="the lookup, by siege -b")
WORKLOADS = {w.name: w for w in (LOOKUP, NAMES, NO_DATABASE, LIST, POST, MIX, SIEGE)}

FULL: tuple[Cell, ...] = (
    *(Cell(workload=LOOKUP, concurrency=c) for c in CONCURRENCIES[:-1]),
    *(Cell(workload=SIEGE, concurrency=c) for c in SIEGE_CONCURRENCIES),
    Cell(workload=NAMES, concurrency=16),
    Cell(workload=NO_DATABASE, concurrency=16),
    Cell(workload=NO_DATABASE, concurrency=256),
    Cell(workload=LIST, concurrency=16),
    Cell(workload=POST, concurrency=16),
    Cell(workload=MIX, concurrency=16),
    # Last: a process keeps the memory that a thousand requests at once took it.
    Cell(workload=LOOKUP, concurrency=CROWD),
)
QUICK: tuple[Cell, ...] = (
    Cell(workload=LOOKUP, concurrency=16),
    Cell(workload=LOOKUP, concurrency=256),
    Cell(workload=NO_DATABASE, concurrency=16),
    Cell(workload=LIST, concurrency=16),
    Cell(workload=POST, concurrency=16),
)
