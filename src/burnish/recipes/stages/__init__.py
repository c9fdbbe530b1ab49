"""The stages of a recipe, one file each; `Stage` is any of them, told apart by `type`."""

from typing import Annotated

from pydantic import Field

from burnish.recipes.stages.adapt_tokenizer import AdaptTokenizerStage
from burnish.recipes.stages.compare import CompareStage
from burnish.recipes.stages.convert import ConvertStage
from burnish.recipes.stages.corpus import CorpusStage
from burnish.recipes.stages.cpt import CptStage
from burnish.recipes.stages.distill import DistillStage
from burnish.recipes.stages.documents import DocumentsStage
from burnish.recipes.stages.dpo import DpoStage
from burnish.recipes.stages.evaluate import EvaluateStage
from burnish.recipes.stages.export import ExportStage
from burnish.recipes.stages.extend_tokenizer import ExtendTokenizerStage
from burnish.recipes.stages.feedback import FeedbackStage
from burnish.recipes.stages.forgetting import ForgettingStage
from burnish.recipes.stages.grpo import GrpoStage
from burnish.recipes.stages.index import IndexStage
from burnish.recipes.stages.kto import KtoStage
from burnish.recipes.stages.outcome_reward_model import OutcomeRewardModelStage
from burnish.recipes.stages.perplexity import PerplexityStage
from burnish.recipes.stages.ppo import PpoStage
from burnish.recipes.stages.prepare import PrepareStage
from burnish.recipes.stages.pretrain import PretrainStage
from burnish.recipes.stages.process_reward_model import ProcessRewardModelStage
from burnish.recipes.stages.reasoning_gym import ReasoningGymStage
from burnish.recipes.stages.retrieve import RetrieveStage
from burnish.recipes.stages.reward_model import RewardModelStage
from burnish.recipes.stages.rft import RftStage
from burnish.recipes.stages.sample import SampleStage
from burnish.recipes.stages.sft import SftStage
from burnish.recipes.stages.step_labels import StepLabelsStage
from burnish.recipes.stages.synthesize import SynthesizeStage

Stage = Annotated[
    PrepareStage
    | ReasoningGymStage
    | DocumentsStage
    | SynthesizeStage
    | IndexStage
    | RetrieveStage
    | ExtendTokenizerStage
    | CorpusStage
    | CptStage
    | SftStage
    | SampleStage
    | FeedbackStage
    | RewardModelStage
    | StepLabelsStage
    | ProcessRewardModelStage
    | OutcomeRewardModelStage
    | DpoStage
    | PpoStage
    | GrpoStage
    | RftStage
    | KtoStage
    | DistillStage
    | ConvertStage
    | AdaptTokenizerStage
    | PretrainStage
    | EvaluateStage
    | CompareStage
    | PerplexityStage
    | ForgettingStage
    | ExportStage,
    Field(discriminator="type"),
]
