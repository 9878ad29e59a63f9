from .distance_sliders import distance_sliders as distance_sliders
from .eve_sliders import eve_sliders as eve_sliders
from .expected_sessions import ExpectedSession as ExpectedSession
from .expected_sessions import expected_on as expected_on
from .expected_sessions import expected_under as expected_under
from .latest_value import LatestValue as LatestValue
