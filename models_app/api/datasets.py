"""Datasets, their versions and files."""

from django.http.response import HttpResponseBase
from drf_spectacular.utils import OpenApiParameter, OpenApiTypes, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from models_app import selectors
from models_app.api import serializers as shapes
from models_app.api.bodies import UPLOAD_PARSERS, uploaded
from models_app.api.preconditions import require_match, tagged
from models_app.downloads import file_response
from models_app.models import DatasetVersion
from models_app.services import datasets as service
from models_app.services.downloads import download_file
from models_app.services.received import start_from_ratings
from portal.core.api import ApiView, EmptySerializer, JobSerializer, accepted, job_body
from portal.core.errors import StaleState, StaleVersion
from portal.core.permissions import authorize

BINARY = {(200, "application/octet-stream"): OpenApiTypes.BINARY}
NAME = OpenApiParameter("name", str, description="The file's name; Content-Disposition may give it, too.")
IF_MATCH = OpenApiParameter("If-Match", str, OpenApiParameter.HEADER, required=True)


class DatasetsView(ApiView):
    """Named sources of ratings."""

    @extend_schema(responses=shapes.DatasetSerializer(many=True), operation_id="datasets_list")
    def get(self, request: Request) -> Response:
        authorize(self.actor, "datasets.read", self.shop)
        return self.page(selectors.datasets(self.shop), shapes.DatasetSerializer)

    @extend_schema(
        request=shapes.NewDatasetSerializer,
        responses={201: shapes.DatasetSerializer},
        operation_id="datasets_create",
    )
    def post(self, request: Request) -> Response:
        made = service.create_dataset(self.actor, self.shop, **self.read(shapes.NewDatasetSerializer))
        headers = {"Location": f"/api/v1/datasets/{made.pk}"}
        shown = shapes.DatasetSerializer(selectors.dataset(self.shop, made.pk))
        return Response(shown.data, status=201, headers=headers)


class DatasetView(ApiView):
    @extend_schema(responses=shapes.DatasetSerializer, operation_id="datasets_get")
    def get(self, request: Request, dataset_id: str) -> Response:
        authorize(self.actor, "datasets.read", self.shop)
        return Response(shapes.DatasetSerializer(selectors.dataset(self.shop, dataset_id)).data)


class VersionsView(ApiView):
    """Versions of one dataset."""

    @extend_schema(responses=shapes.DatasetVersionSerializer(many=True), operation_id="dataset_versions_list")
    def get(self, request: Request, dataset_id: str) -> Response:
        authorize(self.actor, "datasets.read", self.shop)
        dataset = selectors.dataset(self.shop, dataset_id)
        return self.page(selectors.dataset_versions(self.shop, dataset), shapes.DatasetVersionSerializer)

    @extend_schema(
        request=EmptySerializer,
        responses={201: shapes.DatasetVersionSerializer},
        operation_id="dataset_versions_create",
    )
    def post(self, request: Request, dataset_id: str) -> Response:
        self.read(EmptySerializer)
        dataset = selectors.dataset(self.shop, dataset_id)
        return _created(service.start_version(self.actor, dataset))


class FromRatingsView(ApiView):
    """A version of the ratings that were sent one by one: a worker writes them down and reads every line."""

    @extend_schema(
        request=EmptySerializer, responses={202: JobSerializer}, operation_id="dataset_versions_from_ratings"
    )
    def post(self, request: Request, dataset_id: str) -> Response:
        self.read(EmptySerializer)
        version = start_from_ratings(self.actor, selectors.dataset(self.shop, dataset_id))
        return accepted(version, job_body(version, _url(version)))


class OneVersion(ApiView):
    """One version of a dataset: its files, columns, state and report."""

    def version(self, version_id: str) -> DatasetVersion:
        authorize(self.actor, "datasets.read", self.shop)
        return selectors.dataset_version(self.shop, version_id)


class VersionView(OneVersion):
    @extend_schema(responses=shapes.UploadedVersionSerializer, operation_id="dataset_versions_get")
    def get(self, request: Request, version_id: str) -> Response:
        return _shown(self.version(version_id))

    @extend_schema(
        request=shapes.ColumnsSerializer,
        responses=shapes.UploadedVersionSerializer,
        parameters=[IF_MATCH],
        operation_id="dataset_versions_change",
    )
    def patch(self, request: Request, version_id: str) -> Response:
        """Say which column is what; the whole mapping of a file at a time."""
        version = self.version(version_id)
        require_match(request, version)
        try:
            service.set_columns(self.actor, version, **self.read(shapes.ColumnsSerializer))
        except StaleState as error:
            raise StaleVersion(error.detail) from error
        return _shown(version)


class FileView(OneVersion):
    """The file with the interactions: send it raw or as a form, in any of the recognised formats."""

    parser_classes = UPLOAD_PARSERS
    kind = "interactions"

    @extend_schema(
        request={"application/octet-stream": OpenApiTypes.BINARY, "text/csv": OpenApiTypes.BINARY},
        responses=shapes.UploadedVersionSerializer,
        parameters=[NAME],
        operation_id="dataset_versions_put_file",
    )
    def put(self, request: Request, version_id: str) -> Response:
        version = self.version(version_id)
        authorize(self.actor, "datasets.write", self.shop)  # before a byte of the body is read
        chunks, name = uploaded(request)
        return _shown(service.attach_file(self.actor, version, chunks, name, self.kind))

    @extend_schema(responses=BINARY, operation_id="dataset_versions_get_file")
    def get(self, request: Request, version_id: str) -> HttpResponseBase:
        version = self.version(version_id)
        return file_response(request._request, download_file(self.actor, version, self.kind))


class ItemsView(FileView):
    """The file with titles, categories, prices and sellers of items."""

    kind = "items"

    @extend_schema(
        request={"application/octet-stream": OpenApiTypes.BINARY, "text/csv": OpenApiTypes.BINARY},
        responses=shapes.UploadedVersionSerializer,
        parameters=[NAME],
        operation_id="dataset_versions_put_items",
    )
    def put(self, request: Request, version_id: str) -> Response:
        return super().put(request, version_id)

    @extend_schema(responses=BINARY, operation_id="dataset_versions_get_items")
    def get(self, request: Request, version_id: str) -> HttpResponseBase:
        return super().get(request, version_id)


class CheckView(OneVersion):
    """Let a worker read every line."""

    @extend_schema(
        request=EmptySerializer,
        responses={202: JobSerializer},
        operation_id="dataset_versions_check",
    )
    def post(self, request: Request, version_id: str) -> Response:
        self.read(EmptySerializer)
        version = service.start_check(self.actor, self.version(version_id))
        return accepted(version, job_body(version, _url(version)))


class CancelView(OneVersion):
    """Give up an upload or a check."""

    @extend_schema(
        request=shapes.ReasonSerializer, responses=JobSerializer, operation_id="dataset_versions_cancel"
    )
    def post(self, request: Request, version_id: str) -> Response:
        reason = self.read(shapes.ReasonSerializer)["reason"]
        version = service.cancel_version(self.actor, self.version(version_id), reason)
        return Response(job_body(version, _url(version)))


class RetryView(OneVersion):
    @extend_schema(
        request=shapes.RetrySerializer,
        responses={201: shapes.UploadedVersionSerializer},
        operation_id="dataset_versions_retry",
    )
    def post(self, request: Request, version_id: str) -> Response:
        """Open a new version from the same files, perhaps leaving out bad rows."""
        options = self.read(shapes.RetrySerializer)
        return _created(service.retry_version(self.actor, self.version(version_id), **options))


def _url(version: DatasetVersion) -> str:
    return f"/api/v1/dataset-versions/{version.pk}"


def _shown(version: DatasetVersion, status: int = 200) -> Response:
    context = {"same_file": selectors.same_file(version)}
    data = shapes.UploadedVersionSerializer(version, context=context).data
    return tagged(Response(data, status=status), version)


def _created(version: DatasetVersion) -> Response:
    response = _shown(version, status=201)
    response["Location"] = _url(version)
    return response
