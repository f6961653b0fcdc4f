"""Which results are built, and who gets which."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from patchclip_node.domain.recalls import EarlierResults
from patchclip_node.domain.records import NewResult
from patchclip_node.domain.routes import EVERYWHERE, NO_ROUTES, Dispatch, Routes
from patchclip_node.domain.variants import STANDARD_VARIANTS, ResultVariant


@dataclass(frozen=True, slots=True)
class ResultPlan:
    """What is built, and which destination gets what.

    destinations: by name, what each gets. What any of them gets is built, once; without one, the standard results.
    earlier: what becomes of what earlier revisions of the study returned. routes: which images are analysed, and which
    of the destinations may get what is found in them.
    """

    destinations: Mapping[str, Collection[ResultVariant]]
    earlier: EarlierResults = EarlierResults.WITHDRAW
    routes: Routes = NO_ROUTES

    @property
    def variants(self) -> tuple[ResultVariant, ...]:
        """All that is built, each once."""
        wanted = tuple(variant for variants in self.destinations.values() for variant in variants)
        return tuple(dict.fromkeys(wanted or STANDARD_VARIANTS))

    def promised(
        self, built: Iterable[tuple[ResultVariant, NewResult]], dispatch: Dispatch = EVERYWHERE
    ) -> dict[str, list[str]]:
        """Return, for each destination that gets any, the SOP Instance UIDs of what it gets.

        dispatch: which destinations may get any.
        """
        results = list(built)
        return {
            name: wanted
            for name, variants in self.destinations.items()
            if dispatch.allows(name)
            and (wanted := [result.sop_instance_uid for variant, result in results if variant in variants])
        }
