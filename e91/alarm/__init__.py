"""The alarm in the session: a sequential Bell test over its rounds, and over the blocks of a run.

All that the alarm needs is public.  In a session it listens to what the parties announce, in the
order of the rounds; over many sessions, or the blocks of a run, it takes the counts of each.
"""

from e91.alarm.intervals import SHORTEST_STRETCH, course_of, stretch_ends
from e91.alarm.replay import Replay
from e91.alarm.watched_runs import replayed, watch_blocks
from e91.alarm.watched_sessions import Ear, run_watched, told

__all__ = [
    "SHORTEST_STRETCH",
    "Ear",
    "Replay",
    "course_of",
    "replayed",
    "run_watched",
    "stretch_ends",
    "told",
    "watch_blocks",
]
