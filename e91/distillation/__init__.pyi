from . import amplification as amplification
from . import authentication as authentication
from . import cascade as cascade
from . import ldpc as ldpc
from . import portions as portions
from . import preprocessing as preprocessing
from . import sifting as sifting
from . import verification as verification
