"""What a search may find: which collections, and of those which tags and which language."""

from collections.abc import Iterable
from dataclasses import dataclass

from knowledge.values import Hit


@dataclass(frozen=True, slots=True)
class Scope:
    """One frozen value from the caller to the index. Nothing outside it is read, ranked or counted. Made by `of`, so
    that equal wishes are equal scopes."""

    collections: tuple[str, ...]
    """Any of these. None named, nothing found."""

    tags: tuple[str, ...] = ()
    """All of these: every further tag narrows the search."""

    language: str = ""
    """As `knowledge.language` names it; "" for every one. Passages that show no language (a table of numbers, a part's
    name) are in every language's scope."""

    @classmethod
    def of(cls, collections: Iterable[str], tags: Iterable[str] = (), language: str = "") -> "Scope":
        """`language` may be any tag of the form "zh-Hant": what follows the first part is left out."""
        code = language.casefold().replace("_", "-").partition("-")[0]
        return cls(tuple(sorted(set(collections))), tuple(sorted(set(tags))), code)

    def holds(self, hit: Hit) -> bool:
        """Whether a passage may be found within it."""
        spoken = self.language in ("", hit.language) or not hit.language
        return hit.collection in self.collections and set(self.tags) <= set(hit.tags) and spoken
