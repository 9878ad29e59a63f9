from . import (
    adversaries as adversaries,
)
from . import (
    alarm as alarm,
)
from . import (
    bell as bell,
)
from . import cli as cli
from . import (
    delivery as delivery,
)
from . import (
    devices as devices,
)
from . import (
    distillation as distillation,
)
from . import (
    encryption as encryption,
)
from . import (
    experiments as experiments,
)
from . import (
    keys as keys,
)
from . import (
    model as model,
)
from . import (
    network as network,
)
from . import (
    optics as optics,
)
from . import (
    plots as plots,
)
from . import (
    recorded as recorded,
)
from . import (
    security as security,
)
from . import (
    session as session,
)
from . import (
    studies as studies,
)
from . import (
    system as system,
)
from . import widgets as widgets
from .alarm.promise import Promise as Promise
from .alarm.watching import run_watched as run_watched
from .alarm.watching import watch_blocks as watch_blocks
from .devices.aer import aer_device as aer_device
from .devices.aer import aer_device_of as aer_device_of
from .devices.exact import exact_device as exact_device
from .devices.exact import exact_device_of as exact_device_of
from .devices.optical import (
    optical_device as optical_device,
)
from .devices.optical import (
    optical_slot_device as optical_slot_device,
)
from .devices.samplers.sampler_device import sampler_device as sampler_device
from .devices.samplers.snapshots import snapshot_device as snapshot_device
from .encryption.cipher import decrypt as decrypt
from .encryption.cipher import encrypt as encrypt
from .keys.store import KeyStore as KeyStore
from .model.errors import (
    Abort as Abort,
)
from .model.errors import (
    AuthenticationFailed as AuthenticationFailed,
)
from .model.errors import (
    KeyUnavailable as KeyUnavailable,
)
from .model.errors import (
    ProtocolAborted as ProtocolAborted,
)
from .model.messages import Party as Party
from .model.settings import (
    ASYMMETRIC as ASYMMETRIC,
)
from .model.settings import (
    BBM92 as BBM92,
)
from .model.settings import (
    EKERT as EKERT,
)
from .model.settings import (
    SETTINGS as SETTINGS,
)
from .model.settings import (
    Settings as Settings,
)
from .model.trust import SecurityModel as SecurityModel
from .security.policy import Policy as Policy
from .session.report import SessionReport as SessionReport
from .session.session import analyse as analyse
from .session.session import run as run
from .session.streaming import stream as stream
from .session.totals import summary_of as summary_of
from .studies.running import warm_up as warm_up

__version__: str
