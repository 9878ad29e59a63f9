from .probe import ProbePlan as ProbePlan
from .probe import probe as probe
from .verdicts import ProbeReport as ProbeReport
from .verdicts import ProbeRow as ProbeRow
from .verdicts import ProbeVerdict as ProbeVerdict
