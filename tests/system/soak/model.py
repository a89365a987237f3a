# SPDX-License-Identifier: Apache-2.0
"""What one client's repository must hold by what was acknowledged to that client, which alone writes to it."""
from dataclasses import dataclass, field


@dataclass
class Image:
    manifest: bytes
    blobs: list  # digests, the config first


@dataclass
class Repository:
    name: str
    tags: dict = field(default_factory=dict)      # tag: digest
    images: dict = field(default_factory=dict)    # digest: Image; those that were not deleted
    gone: dict = field(default_factory=dict)      # digest: Image; those that were deleted
    shown: dict = field(default_factory=dict)     # tag: every digest that it ever had

    def put(self, tag, digest, image):
        self.images[digest] = image
        self.gone.pop(digest, None)
        self.move(tag, digest)

    def move(self, tag, digest):
        self.tags[tag] = digest
        self.shown.setdefault(tag, set()).add(digest)

    def delete_tag(self, tag):
        del self.tags[tag]

    def delete(self, digest):
        """Deleting a manifest removes the tags to it."""
        self.gone[digest] = self.images.pop(digest)
        self.tags = {t: d for t, d in self.tags.items() if d != digest}

    def oldest(self):
        return next(iter(self.images))

    def blobs(self):
        return {b for image in self.images.values() for b in image.blobs}


def test():
    r = Repository("a")
    r.put("1", "d1", Image(b"", ["x", "y"]))
    r.put("2", "d2", Image(b"", ["y", "z"]))
    r.move("1", "d2")
    assert r.tags == {"1": "d2", "2": "d2"} and r.blobs() == {"x", "y", "z"} and r.oldest() == "d1"
    r.delete("d2")
    assert r.tags == {} and r.blobs() == {"x", "y"} and "d2" in r.gone
    r.put("2", "d2", Image(b"", ["z"]))
    assert "d2" not in r.gone and r.shown["1"] == {"d1", "d2"}


if __name__ == "__main__":
    test()
