from .aer import aer_device as aer_device
from .aer import aer_device_of as aer_device_of
from .exact import exact_device as exact_device
from .exact import exact_device_of as exact_device_of
from .optical import optical_device as optical_device
from .optical import optical_slot_device as optical_slot_device
from .samplers.sampler_device import sampler_device as sampler_device
from .samplers.snapshots import snapshot_device as snapshot_device
