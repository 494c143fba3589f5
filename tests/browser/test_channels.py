"""One event told over every channel is one event (R6): a browser, Connect, gRPC and REST."""

import grpc
from playwright.sync_api import Page

from workevo.tracking.v1 import verdict_pb2
from workevo.tracking.v1.tracking_pb2 import UploadEventsRequest
from workevo_testing.connect_calls import JSON, PROTO, ConnectClient
from workevo_testing.rest_calls import Rest
from workevo_testing.server_process import ServerProcess
from workevo_testing.shop import Shop, wait_until
from workevo_testing.wire_calls import Phone, event, install

USER = "told by everybody"
NAME = "One and the same"


def tell_in_the_browser(shop: Shop) -> Page:
    page = shop.open(boot={"user_id": USER})
    page.evaluate("(name) => Workevo('trackEvent', name)", NAME)
    wait_until(page, lambda: shop.back_end().names(user_id=USER)[NAME] == 1)
    return page


def test_the_same_event_over_the_browser_connect_grpc_and_rest_is_one_event(
    shop: Shop, server: ServerProcess
) -> None:
    tell_in_the_browser(shop)
    (first,) = shop.back_end().events(user_id=USER)
    created_at = first.event.created_at

    for kind in (JSON, PROTO):
        request = UploadEventsRequest(
            install=install(), events=[event(1, name=NAME.upper(), user_id=USER, created_at=created_at)]
        )
        answer = ConnectClient(server.http_address, server.keys.sdk_key).upload(request, kind=kind)
        assert answer.results[0].identity == verdict_pb2.MATCHED_IDENTITY_PRODUCT
    with grpc.insecure_channel(server.grpc_address) as channel:
        phone = Phone(channel, server.keys.sdk_key)
        answer = phone.upload([event(1, name=NAME, user_id=USER, created_at=created_at)])
        assert answer.results[0].identity == verdict_pb2.MATCHED_IDENTITY_PRODUCT
    rest = Rest(address=server.http_address, key=server.keys.server_key)
    answered = rest.event(NAME, user_id=USER, created_at=created_at.ToMilliseconds())
    assert (answered.status, answered.headers["workevo-verdict"]) == (202, "DUPLICATE")

    assert shop.back_end().names(user_id=USER) == {NAME: 1}
