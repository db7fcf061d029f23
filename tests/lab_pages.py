"""A page of the lab in a browser: how a test opens it and reads it."""

from urllib.parse import parse_qs, urlsplit

from netlathe.lab.catalogue import Catalogue
from netlathe.lab.state import read_state
from netlathe.lab.view import view


def show(page, lab, fragment=""):
    page.goto(lab.url + ("#" + fragment if fragment else ""))
    page.wait_for_selector("body[data-ready]")


def total(page, key="macs", side="a"):
    return page.locator(f"#side-{side} [data-total={key}]")


def engine(fragment):
    state, shelf = read_state(fragment), Catalogue()
    found = view(state, shelf.net(state.net), shelf.card(state.device))
    return {t["key"]: t["text"] for t in found["totals"]}


def state_of(page):
    return {key: value[0] for key, value in parse_qs(urlsplit(page.url).fragment).items()}
