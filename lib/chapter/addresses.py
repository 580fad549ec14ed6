"""Where this copy of the book is published: everything follows from `repository.url` in `_config.yml`."""

import re
from dataclasses import dataclass
from pathlib import Path

from lib.chapter.book import ROOT, read_yaml
from lib.course.shapes import checked_after_errors

PUBLISHED_BRANCH = "gh-pages"


@dataclass(frozen=True)
class Addresses:
    """Addresses of one copy of the book; each is "" when it is not known."""

    repository: str
    branch: str

    @property
    def _github(self) -> tuple[str, str] | None:
        match = re.fullmatch(r"https://github\.com/([^/]+)/([^/]+)", self.repository)
        return match and (match[1], match[2])

    @property
    def site(self) -> str:
        """The address of the published pages, without a slash at the end."""
        if not self._github:
            return ""
        owner, name = self._github
        host = f"{owner.lower()}.github.io"
        return f"https://{host}" if name.lower() == host else f"https://{host}/{name}"

    @property
    def issues(self) -> str:
        return self.repository and f"{self.repository}/issues"

    def source(self, path: str) -> str:
        """The page of a file of the repository; `path` is relative to the repository."""
        return self.repository and f"{self.repository}/blob/{self.branch}/{path}"

    def colab(self, slug: str) -> str:
        """Opens a chapter's standalone notebook in Colab, from the branch that publishing pushes."""
        if not self._github:
            return ""
        owner, name = self._github
        path = f"{owner}/{name}/blob/{PUBLISHED_BRANCH}/standalone/{slug}.ipynb"
        return f"https://colab.research.google.com/github/{path}"


@checked_after_errors
def addresses(root: Path = ROOT) -> Addresses:
    """Read the addresses from `_config.yml`; a FileNotFoundError says that there is none."""
    repository = read_yaml(root / "_config.yml").get("repository", {})
    url = (repository.get("url") or "").rstrip("/").removesuffix(".git")
    return Addresses(url, repository.get("branch") or "main")
