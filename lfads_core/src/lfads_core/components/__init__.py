"""The contracts a plugin can fulfil. Each is written for ONE model and ONE session.

Developer notes per contract stand in the docs; the framework sizes read-outs, loops over sessions and runs populations.
"""

from lfads_core.components.alignment import AbstractAlignment
from lfads_core.components.augmentation import AbstractAugmentation
from lfads_core.components.encoder import AbstractEncoder, EncoderInfo
from lfads_core.components.generator import AbstractGenerator, GeneratorInfo, GRUWeights
from lfads_core.components.latent import AbstractLatent, LatentInfo
from lfads_core.components.latents import Latents, Posterior
from lfads_core.components.loss import AbstractLoss, LossInfo, LossInputs
from lfads_core.components.prior import AbstractPrior, Draw
from lfads_core.components.readin import AbstractReadin, AbstractReadout, SessionInfo
from lfads_core.components.reconstruction import AbstractReconstruction, Support

__all__ = [
    "AbstractAlignment",
    "AbstractAugmentation",
    "AbstractEncoder",
    "AbstractGenerator",
    "AbstractLatent",
    "AbstractLoss",
    "AbstractPrior",
    "AbstractReadin",
    "AbstractReadout",
    "AbstractReconstruction",
    "Draw",
    "EncoderInfo",
    "GRUWeights",
    "GeneratorInfo",
    "LatentInfo",
    "Latents",
    "LossInfo",
    "LossInputs",
    "Posterior",
    "SessionInfo",
    "Support",
]
