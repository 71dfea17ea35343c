"""MkDocs hooks: the site consists of the files of the repository as they are.

- The navigation is that of the index page: its sections, and the links in the first column of their
  tables.
- Linked Markdown files outside of docs/ become pages, and notebooks are converted to Markdown.
- Links work in the repository and on the site: one to a page leads to that page, with its title in
  place of a file name; one to another file leads to that file in the repository.
"""

import posixpath
import re
from pathlib import Path

import nbconvert
from mkdocs.structure.files import File

ROOT = Path(__file__).parents[1]
INDEX = "docs/index.md"
TABLE_ROW = re.compile(r"^\| \[[^\]]*\]\(([^)]+)\)", re.MULTILINE)
# The names of linked files, and the links.
FILE_NAME = re.compile(r"\[[\w./]+\.(?:md|ipynb)(?=\]\(([^)#\s]+))")
# Links and images, and before them the code in which there are none.
CODE_OR_LINK = re.compile(r"```.*?```|`[^`\n]*`|(\]\()([^)\s]+)(?=\))", re.DOTALL)


def on_config(config):
    """Sets the navigation."""
    sections = re.split(r"^## ", (ROOT / INDEX).read_text(), flags=re.MULTILINE)[1:]
    config.nav = [{"Home": ["index.md", "contents.md"]}] + [
        {section.partition("\n")[0]: [page_of(path) for path in linked_in(section)]}
        for section in sections
    ]
    return config


def linked_in(section):
    """Returns the files that the tables of the index link, relative to the repository."""
    return [resolved(INDEX, link) for link in TABLE_ROW.findall(section)]


def resolved(source, link):
    """Returns the target of a relative link in a file, relative to the repository."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(source), link))


def page_of(path):
    """Returns the path in the site of a Markdown file, a notebook or a file of docs/."""
    special = {"README.md": "index.md", INDEX: "contents.md"}
    page = special.get(path, path.removeprefix("docs/"))
    return page.removesuffix(".ipynb") + ".md" if page.endswith(".ipynb") else page


def on_files(files, config):
    """Adds the pages that are not Markdown files of docs/."""
    files.remove(files.get_file_from_path("index.md"))
    outside = [path for path in linked_in((ROOT / INDEX).read_text()) if path[:5] != "docs/"]
    for path in ("README.md", INDEX, *outside):
        content = (ROOT / path).read_text()
        files.append(File.generated(config, page_of(path), content=content))
    for notebook in [file for file in files if file.src_uri.endswith(".ipynb")]:
        files.remove(notebook)
        for page in notebook_pages(notebook, config):
            files.append(page)
    config.extra["repository_paths"] = {page_of(path): path for path in ("README.md", INDEX)}
    config.extra["repository_paths"] |= {page_of(path): path for path in outside}
    return files


def notebook_pages(notebook, config):
    """Yields a notebook as a Markdown page, and the images that its code shows."""
    names = {"unique_key": Path(notebook.src_uri).stem}  # of the images
    content, resources = nbconvert.MarkdownExporter().from_filename(
        notebook.abs_src_path, resources=names
    )
    yield File.generated(config, notebook.src_uri.removesuffix(".ipynb") + ".md", content=content)
    for name, image in resources["outputs"].items():
        path = posixpath.join(posixpath.dirname(notebook.src_uri), name)
        yield File.generated(config, path, content=image)


def on_page_markdown(markdown, page, config, files):
    """Replaces the links of a page by those that are valid on the site."""
    source = config.extra["repository_paths"].get(page.file.src_uri, f"docs/{page.file.src_uri}")
    blob = f"{config.repo_url}/blob/main/"

    def target(link):
        return link.removeprefix(blob) if link.startswith(blob) else resolved(source, link)

    def title(match):
        file = files.get_file_from_path(page_of(target(match[1])))
        heading = file and re.search(r"^# (.*)", file.content_string, re.MULTILINE)
        return f"[{heading[1]}" if heading else match[0]

    def on_site(match):
        if match[1] is None:
            return match[0]
        link, anchor = re.fullmatch(r"([^#]*)(#.*)?", match[2]).groups(default="")
        path = target(link)
        if not link or not (ROOT / path).exists():
            return match[0]
        if files.get_file_from_path(page_of(path)) is None:
            return match[1] + blob + path + anchor
        folder = posixpath.dirname(page.file.src_uri) or "."
        return match[1] + posixpath.relpath(page_of(path), folder) + anchor

    return CODE_OR_LINK.sub(on_site, FILE_NAME.sub(title, markdown))
