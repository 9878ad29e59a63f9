"""Studies: sweeps over any parameters, on all cores or a cluster, with results that add up.

`plan_study` and `read_study` make a plan, `study` runs it, `save_study` and `load_study` keep the
result; `stream_on` spreads one long run over a cluster.  Statistics travel, key bits do not.
"""

from e91.studies.cluster import connected, stream_on
from e91.studies.dataset import load_study, save_study
from e91.studies.plan import Axis, Study, plan_study, read_study
from e91.studies.running import session_again, study
from e91.studies.tallies import Tally
from e91.studies.warming_up import warm_up

__all__ = [
    "Axis",
    "Study",
    "Tally",
    "connected",
    "load_study",
    "plan_study",
    "read_study",
    "save_study",
    "session_again",
    "stream_on",
    "study",
    "warm_up",
]
