from . import demo as demo
from .chat import Chat as Chat
from .chat import chats as chats
from .corpus import Corpus as Corpus
from .pairs import Pairs as Pairs
from .poisoning import poison as poison
from .prompts import load_prompts as load_prompts
from .prompts import prompts_from as prompts_from
from .splits import held_out as held_out
from .splits import train_held_out as train_held_out
from .spring import QuadraticCost as QuadraticCost
from .spring import Spring as Spring

__all__ = [
    "Chat",
    "Corpus",
    "Pairs",
    "QuadraticCost",
    "Spring",
    "chats",
    "demo",
    "held_out",
    "load_prompts",
    "poison",
    "prompts_from",
    "train_held_out",
]
