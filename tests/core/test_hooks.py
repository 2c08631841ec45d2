import pytest

from hookgate import App, Exchange, Interceptor, Observer, Options, hookimpl
from hookgate.contract.hooks import HookError, hooks_of
from hookgate.contract.hookspecs import AppSpec, FlowSpec, ObserverSpec


class Good(Interceptor[Options]):
    @hookimpl
    async def startup(self, host): ...

    @hookimpl
    def on_request(self, exchange): ...

    @hookimpl
    async def on_response(self, exchange): ...

    @property
    def broken_without_options(self):
        return self.options.nothing


def test_hooks_come_with_whether_they_are_async():
    assert hooks_of(Good, FlowSpec) == {"startup": True, "on_request": False, "on_response": True}


def test_hooks_of_a_base_class_count():
    class Child(Good):
        pass

    assert "on_request" in hooks_of(Child, FlowSpec)


class Misspelt(Interceptor[Options]):
    @hookimpl
    def on_reqest(self, exchange): ...


class WrongArgument(Interceptor[Options]):
    @hookimpl
    def on_request(self, exchang): ...


class NoArgument(Interceptor[Options]):
    @hookimpl
    def on_request(self): ...


class AsyncDone(Interceptor[Options]):
    @hookimpl
    async def on_done(self, exchange): ...


class First(Interceptor[Options]):
    @hookimpl(tryfirst=True)
    def on_request(self, exchange): ...


class Wrapping(Interceptor[Options]):
    @hookimpl(wrapper=True)
    def on_request(self, exchange):
        return (yield)


class Yielding(Interceptor[Options]):
    @hookimpl
    def on_request(self, exchange):
        yield


class Renamed(Interceptor[Options]):
    @hookimpl(specname="on_request")
    def enter(self, exchange): ...


class Unmarked(Interceptor[Options]):
    def on_request(self, exchange): ...


class Empty(Interceptor[Options]):
    pass


@pytest.mark.parametrize(
    ("cls", "message"),
    [
        (Misspelt, "Misspelt.on_reqest is not a hook of this family; did you mean 'on_request'?"),
        (
            WrongArgument,
            "WrongArgument.on_request takes (exchang); the hook is called with (exchange); did you mean 'exchange'?",
        ),
        (NoArgument, "NoArgument.on_request takes (nothing); the hook is called with (exchange)"),
        (
            AsyncDone,
            (
                "AsyncDone.on_done is async def, but runs where nothing may wait: write def, "
                "and hand slow work to a task that startup began"
            ),
        ),
        (First, "First.on_request asks for tryfirst, which is refused: the order is what the deployer wrote"),
        (Wrapping, "Wrapping.on_request asks for wrapper, which is refused: the order is what the deployer wrote"),
        (Yielding, "Yielding.on_request has a yield in it; a hook returns its result"),
        (Renamed, "Renamed.enter names its hook with specname; call the method on_request"),
        (Unmarked, "Unmarked.on_request has the name of a hook; put @hookimpl above it or rename it"),
    ],
)
def test_a_wrong_hook_is_refused_with_what_would_be_right(cls, message):
    with pytest.raises(HookError) as caught:
        hooks_of(cls, FlowSpec)

    assert str(caught.value) == message


def test_a_class_without_hooks_is_refused():
    with pytest.raises(HookError, match=r"Empty has no hook; write one of .*on_request.* under @hookimpl"):
        hooks_of(Empty, FlowSpec)


def test_an_observer_may_not_wait():
    class Slow(Observer[Options]):
        @hookimpl
        async def exchange_finished(self, exchange: Exchange): ...

    with pytest.raises(HookError, match=r"Slow\.exchange_finished is async def"):
        hooks_of(Slow, ObserverSpec)


def test_a_hook_of_another_family_is_not_one_here():
    class Pages(App[Options]):
        @hookimpl
        def on_request(self, exchange: Exchange): ...

    with pytest.raises(HookError, match="on_request is not a hook of this family"):
        hooks_of(Pages, AppSpec)
