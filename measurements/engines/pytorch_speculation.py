"""Speculation in plain PyTorch: a static batch whose requests accept different numbers of tokens.

Every round the draft proposes K tokens, one pass after the other, and the model verifies them all
in one pass of K + 1. Requests that are done stay in the batch, as in every static batch, until all
are. Both choose the likeliest token.
"""

from typing import Any

from joulecast.measurements.engines.decoding import AcceptanceCount, Speculation


class SlotCache:
    """Keys and values of a batch, a slot for each position of each request.

    What was fed is put where `slots` says, so that what is fed again, after a token that was not
    accepted, takes the place of what was there.

    Args:
        torch: The module.
        capacity: Slots of each request.
    """

    def __init__(self, torch: Any, capacity: int) -> None:
        self._torch, self._capacity = torch, capacity
        self._held: list[tuple[Any, Any]] = []
        self.slots: Any = None
        self.used = 0

    def update(self, keys: Any, values: Any, layer: int, *_: Any, **__: Any) -> tuple[Any, Any]:
        """Keep what a layer made of the tokens that are fed; all that it holds up to `used`."""
        if layer == len(self._held):
            self._held.append((self._empty_like(keys), self._empty_like(values)))
        index = self.slots[:, None, :, None]
        for held, new in zip(self._held[layer], (keys, values), strict=True):
            held.scatter_(2, index.expand(new.shape), new)
        all_keys, all_values = self._held[layer]
        return all_keys[:, :, : self.used], all_values[:, :, : self.used]

    def get_seq_length(self, layer: int = 0) -> int:  # noqa: ARG002 - as transformers asks
        """Tokens before those that are fed with no mask of their own, which come first of all."""
        return 0

    def get_query_offset(self, layer: int = 0) -> int:  # noqa: ARG002 - likewise
        """The same."""
        return 0

    def get_mask_sizes(self, fed: int, layer: int = 0) -> tuple[int, int]:  # noqa: ARG002
        """Tokens that are attended to, and the first of them."""
        return fed, 0

    def _empty_like(self, new: Any) -> Any:
        rows, heads, _, size = new.shape
        return new.new_zeros(rows, heads, self._capacity, size)


class SpeculativeLoop:
    """Generates with a draft.

    Args:
        torch: The module.
        model: That verifies, of transformers.
        draft: That proposes, with the same vocabulary.
        speculation: How many tokens, and how many of them are accepted.
        seed: Of the draws of what is accepted, which are made on the host.
    """

    def __init__(
        self, torch: Any, model: Any, draft: Any, speculation: Speculation, seed: int
    ) -> None:
        self.torch, self.model, self.draft = torch, model, draft
        self.speculation = speculation
        self._random = torch.Generator().manual_seed(seed)
        self.count = AcceptanceCount()

    def generate(self, prompts: Any, new_tokens: int) -> Any:
        """Prompts and what follows, shape (requests, input + new tokens)."""
        with self.torch.no_grad():
            batch = _Batch(self, prompts, new_tokens)
            batch.prefill()
            while (batch.lengths < batch.last).any():
                batch.round()
            return batch.tokens[:, : batch.last + 1]

    def run_peaks(self, prompts: Any, new_tokens: int) -> None:
        """The two moments that take most memory: the prefill, and the last round."""
        with self.torch.no_grad():
            batch = _Batch(self, prompts, new_tokens)
            batch.prefill()
            if new_tokens > 1:
                batch.lengths[:] = batch.last  # all but one request are done
                batch.lengths[0] -= 1
                batch.round()

    def draw_accepted(self, requests: int) -> Any:
        """How many of the tokens proposed to each request are accepted, on the host."""
        shape = requests, self.speculation.lookahead
        is_accepted = self.torch.rand(shape, generator=self._random) < self.speculation.acceptance
        return is_accepted.long().cumprod(dim=1).sum(dim=1)


class _Batch:
    """One static batch; `lengths`, on the host, says how many tokens of a request are cached.

    Attributes:
        tokens: Of each request, prompts first; those after `lengths` are proposals.
        last: Position of the last token that was asked for.
    """

    def __init__(self, loop: SpeculativeLoop, prompts: Any, new_tokens: int) -> None:
        self._loop, self._torch = loop, loop.torch
        self._lookahead = loop.speculation.lookahead
        rows, self._input_tokens = prompts.shape
        self.last = self._input_tokens + new_tokens - 1
        slots = self.last + self._lookahead + 1
        self.tokens = prompts.new_zeros(rows, slots + 1)
        self.tokens[:, : self._input_tokens] = prompts
        self.lengths = self._torch.full((rows,), self._input_tokens)
        self._caches = {
            id(model): SlotCache(self._torch, slots) for model in (loop.model, loop.draft)
        }
        self._steps = self._torch.arange(slots + 1, device=prompts.device)

    def prefill(self) -> None:
        """Feed the prompts to both; the model gives the first token."""
        slots = self._steps[: self._input_tokens].expand(len(self.tokens), -1)
        self._pass(self._loop.draft, slots, self._input_tokens, needs_mask=False)
        own = self._pass(self._loop.model, slots, self._input_tokens, needs_mask=False)
        self.tokens[:, self._input_tokens] = own[:, -1]

    def round(self) -> None:
        """Propose, verify, and keep what is accepted and the model's own token after it."""
        lookahead, longest = self._lookahead, int(self.lengths.max())
        first = self.lengths.to(self.tokens.device)[:, None]
        # The token before is fed to the draft once more: if the last of its tokens was accepted,
        # it proposed it without having been fed it.
        slots = first + self._steps[:2] - 1
        is_ragged = int(self.lengths.min()) < longest
        for k in range(1, lookahead + 1):
            needs_mask = k == 1 or is_ragged
            proposed = self._pass(self._loop.draft, slots, longest + k, needs_mask)
            slots = first + k
            self.tokens.scatter_(1, slots, proposed)
        slots = first + self._steps[: lookahead + 1]
        own = self._pass(self._loop.model, slots, longest + lookahead + 1)
        accepted = self._loop.draw_accepted(len(self.tokens))
        for number, length in zip(accepted.tolist(), self.lengths.tolist(), strict=True):
            if length < self.last:
                self._loop.count.add(lookahead, number)
        kept = accepted.to(self.tokens.device)[:, None]
        is_open = first < self.last
        target = first + is_open * (kept + 1)
        chosen = self._torch.where(is_open, own.gather(1, kept), self.tokens.gather(1, first))
        self.tokens.scatter_(1, target, chosen)
        self.lengths = (self.lengths + accepted + 1).clamp(max=self.last)

    def _pass(self, model: Any, slots: Any, used: int, needs_mask: bool = True) -> Any:
        """The likeliest token after each that the model is fed, and after the draft's last one.

        Args:
            model: One of the two.
            slots: Where what is fed stands, shape (requests, tokens).
            used: Slots that are looked at.
            needs_mask: Whether tokens see less than all of these, other than the usual triangle.
                Without one, attention need not copy keys that several heads share.
        """
        cache = self._caches[id(model)]
        cache.slots, cache.used = slots, used
        mask = None
        if needs_mask:
            mask = self._steps[None, None, None, :used] <= slots[:, None, :, None]
        output = model(
            self.tokens.gather(1, slots),
            attention_mask=mask,
            position_ids=slots,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=0 if model is self._loop.model and needs_mask else 1,
        )
        return output.logits.argmax(dim=-1)
