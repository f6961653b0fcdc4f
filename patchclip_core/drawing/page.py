"""Reports that are one HTML file: they load nothing from elsewhere, and all look alike."""

from __future__ import annotations

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from patchclip_core.values.wording import RESEARCH_STATEMENT


def page(package: str, template: str = "report.html", **values: object) -> str:
    """Return the page that a template of a package makes of values; it extends `page.html` of this one.

    Values that are not `Markup` are escaped; one that is missing raises `jinja2.UndefinedError`. Every page says
    what the software must not be used for.
    """
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package), PackageLoader("patchclip_core.drawing")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(research_statement=RESEARCH_STATEMENT, **values)
