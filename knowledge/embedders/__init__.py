"""The embedder by its name in the settings."""

from knowledge.embedders.base import Embedder, Kind, Vector

__all__ = ["Embedder", "Kind", "Vector", "create_embedder"]

MULTILINGUAL_E5_SMALL = "multilingual-e5-small"
USE_MULTILINGUAL = "use-multilingual"
OPENAI = "openai:"


def create_embedder(name: str, *, device: str = "", url: str = "", key: str = "") -> Embedder:
    """Loads it: 150 ms for e5, 450 ms for use-multilingual. Blocks.

    :param device: where a model of sentence-transformers computes; "" is the graphics card where there is one.
    :param url: an OpenAI-compatible server's address up to "/v1", and `key` what it asks for; for "openai:<model>".

    Raises EmbedderError for a name this version does not know, whose library is not installed or whose server does not
    answer.
    """
    # Imported here: each brings its own library, and only one of them is wanted.
    if name == MULTILINGUAL_E5_SMALL:
        from knowledge.embedders.e5_embedded import E5Embedded

        return E5Embedded()
    if name == USE_MULTILINGUAL:
        from knowledge.embedders.use_multilingual import UseMultilingual

        return UseMultilingual()
    if name.startswith(OPENAI):
        from knowledge.embedders.openai_server import OpenAIEmbedder

        return OpenAIEmbedder(name.removeprefix(OPENAI), url=url, key=key)
    from knowledge.embedders.sentence_transformer import SentenceTransformerEmbedder

    return SentenceTransformerEmbedder(name, device=device)


def verify_weights(name: str) -> None:
    """Whether an embedded embedder's weights are the ones this version was measured with. Reads them
    whole (70 ms for e5): for `kefu doctor` and before a sync, not for every start.

    Raises EmbedderError when they are not. Embedders that are not embedded are not checked.
    """
    if name == MULTILINGUAL_E5_SMALL:
        from knowledge.embedders import e5_embedded

        e5_embedded.verify_weights()
    elif name == USE_MULTILINGUAL:
        from knowledge.embedders import use_multilingual

        use_multilingual.verify_weights()
