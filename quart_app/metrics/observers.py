"""Several observers as one."""

from collections.abc import Callable

from quart_app.mysql.observer import Observer


class Observers(Observer):
    """Tells each event to those of *observers* that listen to it; to one, as directly as itself."""

    def __init__(self, *observers: Observer) -> None:
        for name in _events():
            listening = [
                getattr(observer, name)
                for observer in observers
                if getattr(type(observer), name) is not getattr(Observer, name)
            ]
            if listening:
                setattr(self, name, listening[0] if len(listening) == 1 else _tell_all(listening))


def _events() -> list[str]:
    return [name for name, value in vars(Observer).items() if callable(value)]


def _tell_all(listening: list[Callable[..., None]]) -> Callable[..., None]:
    def tell(**what: object) -> None:
        for listener in listening:
            listener(**what)

    return tell
