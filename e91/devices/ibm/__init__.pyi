from .left_jobs import find_session as find_session
from .left_jobs import plan_session as plan_session
from .left_jobs import submit_session as submit_session
from .machine import open_service as open_service
