"""How output tokens are chosen: decoding strategies, and speculation with a draft model."""

from dataclasses import dataclass, replace

from joulecast.traces.errors import InputError

_MOST_BEAMS = 64
_MOST_LOOKAHEAD = 64
_STRATEGIES = "greedy, sampling, temperature:T, top-p:P or beam:W"
_SPECULATION = "DRAFT,K,ACCEPTANCE, such as llama-3.2-1b,4,0.7"


@dataclass(frozen=True)
class Decoding:
    """How the next token is chosen from the model's probabilities.

    Attributes:
        temperature: What logits are divided by before a token is drawn; 0 takes the likeliest one.
        top_p: Share of the probability that tokens are drawn from, the likeliest ones first.
        beam_width: Sequences that are kept of each request; 1 is no beam search.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    beam_width: int = 1

    @classmethod
    def of(cls, text: str) -> "Decoding":
        """A strategy by its name: "greedy", "sampling", "temperature:0.8", "top-p:0.9", "beam:4".

        Sampling is that at temperature 1, and so is top-p.

        Raises:
            InputError: No such strategy, or a number that it cannot have.
        """
        name, _, number = text.partition(":")
        try:
            if text in _WITHOUT_NUMBER:
                return _WITHOUT_NUMBER[text]
            if name == "temperature" and 0 < float(number) <= 100:
                return cls(temperature=float(number))
            if name == "top-p" and 0 < float(number) < 1:
                return cls(temperature=1.0, top_p=float(number))
            if name == "beam" and 2 <= int(number) <= _MOST_BEAMS:
                return cls(beam_width=int(number))
        except ValueError:
            pass
        raise InputError(
            f'"{text}" is no decoding strategy; give {_STRATEGIES}, with T above 0, P between 0 '
            f"and 1, and W from 2 to {_MOST_BEAMS}"
        )

    @property
    def is_beam_search(self) -> bool:
        """Whether several sequences are kept of each request."""
        return self.beam_width > 1

    @property
    def text(self) -> str:
        """Its name, as `of` takes it."""
        if self.is_beam_search:
            return f"beam:{self.beam_width}"
        if self.temperature == 0:
            return "greedy"
        if self.top_p < 1:
            return f"top-p:{self.top_p:g}"
        return "sampling" if self.temperature == 1 else f"temperature:{self.temperature:g}"


GREEDY = Decoding()
_WITHOUT_NUMBER = {"greedy": GREEDY, "sampling": Decoding(temperature=1.0)}


@dataclass(frozen=True)
class Speculation:
    """A draft model proposes tokens, which the model then verifies all at once.

    Random weights would accept nothing, so whether a token is accepted is drawn: each proposed one
    with the same probability a, given that all before it were accepted. A verified step of a
    request then gives (1 - a^(K+1)) / (1 - a) tokens on average: those accepted, and the model's
    own token after them (Leviathan et al. 2023, equation 1).

    Attributes:
        draft: Short name of the draft model, or where its config is.
        lookahead: K, tokens that the draft proposes for each verified step.
        acceptance: a, from 0 to 1.
    """

    draft: str
    lookahead: int
    acceptance: float

    @classmethod
    def of(cls, text: str) -> "Speculation":
        """From DRAFT,K,ACCEPTANCE.

        Raises:
            InputError: It is not written so, or a number cannot be.
        """
        draft, _, numbers = text.partition(",")
        lookahead, _, acceptance = numbers.partition(",")
        try:
            speculation = cls(draft, int(lookahead), float(acceptance))
        except ValueError as error:
            raise InputError(f'"{text}" is not {_SPECULATION}') from error
        if not (draft and 1 <= speculation.lookahead <= _MOST_LOOKAHEAD):
            raise InputError(f'"{text}" is not {_SPECULATION}, with K from 1 to {_MOST_LOOKAHEAD}')
        if not 0 <= speculation.acceptance <= 1:
            raise InputError(f'"{text}": an acceptance is a probability, from 0 to 1')
        return speculation

    @property
    def text(self) -> str:
        """As `of` takes it."""
        return f"{self.draft},{self.lookahead},{self.acceptance:g}"

    @property
    def tokens_per_step(self) -> float:
        """Tokens that a verified step of a request gives on average."""
        return 1 + sum(self.acceptance**k for k in range(1, self.lookahead + 1))

    def with_acceptance(self, acceptance: float) -> "Speculation":
        """The same with another acceptance."""
        return replace(self, acceptance=acceptance)


@dataclass
class AcceptanceCount:
    """What came of the tokens that a draft proposed.

    Attributes:
        verified: Verified steps of requests: in a batch of 8, each step of the engine is 8 of them.
        proposed: Tokens that were proposed for them.
        accepted: Tokens of those that were accepted.
        cut_short: Verified steps of which not all tokens were accepted.
    """

    verified: int = 0
    proposed: int = 0
    accepted: int = 0
    cut_short: int = 0

    def add(self, proposed: int, accepted: int) -> None:
        """One more verified step of a request."""
        self.verified += 1
        self.proposed += proposed
        self.accepted += accepted
        self.cut_short += accepted < proposed

    @property
    def acceptance(self) -> float | None:
        """Share accepted of the tokens before which all were: what `Speculation` asks for."""
        tried = self.accepted + self.cut_short
        return self.accepted / tried if tried else None
