"""From a file to a checked dataset version: list, upload, columns, check, report."""

import itertools
import tempfile
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.core.files.uploadedfile import UploadedFile
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from engine.estimators import ALGORITHMS
from engine.synthetic import make_shop
from models_app import charts, received
from models_app.downloads import file_response
from models_app.forms import ColumnsForm, RatingsForm, UploadForm
from models_app.models import DatasetVersion
from models_app.readiness import ready_for
from models_app.selectors import rows
from models_app.services import datasets as service
from models_app.services.downloads import download_file
from models_app.services.received import find_or_create_own, start_from_ratings
from portal.core.errors import Conflict, NotFound, PortalError
from portal.core.permissions import authorize, is_permitted
from portal.core.requests import ShopRequest
from portal.core.transitions import check_lock_version

SAMPLE_SIZES = {"small": (40, 300), "medium": (400, 5_000), "large": (2_000, 40_000)}  # items, rows
ROW_LIMIT = 12  # of the preview


@require_safe
def data_list(request: ShopRequest) -> HttpResponse:
    authorize(request.actor, "datasets.read", request.shop)
    page = Paginator(rows.datasets(request.shop), 50).get_page(request.GET.get("page"))
    newest = rows.dataset_versions(request.shop).in_bulk([dataset.newest_version_id for dataset in page])
    context = {
        "page": page,
        "table": [(dataset, newest.get(dataset.newest_version_id)) for dataset in page],
        "ratings": received.count(request.shop),
        "ratings_form": RatingsForm(rows.datasets(request.shop)),
        **_may(request),
    }
    return render(request, "models_app/data_list.html", context)


@require_POST
def data_from_ratings(request: ShopRequest) -> HttpResponse:
    """Make a version of the ratings that were sent one by one."""
    authorize(request.actor, "datasets.write", request.shop)
    form = RatingsForm(rows.datasets(request.shop), request.POST)
    if not form.is_valid():
        raise NotFound("There is no such dataset here.")
    try:
        dataset = form.cleaned_data["dataset"] or find_or_create_own(request.actor, request.shop)
        version = start_from_ratings(request.actor, dataset)
    except Conflict as error:
        messages.error(request, error.detail)
        return redirect("data_list", request.shop.slug)
    return redirect("dataset_version_detail", request.shop.slug, version.pk)


@require_http_methods(["GET", "HEAD", "POST"])
def data_new(request: ShopRequest) -> HttpResponse:
    """Upload a file into a new dataset, or as the next version of one."""
    authorize(request.actor, "datasets.write", request.shop)
    form = UploadForm(
        rows.datasets(request.shop), request.POST or None, request.FILES or None, initial=_chosen(request)
    )
    if request.method == "POST" and form.is_valid():
        try:
            version = _take_files(request, form.cleaned_data)
        except PortalError as error:
            form.add_error(None, error.detail)
        else:
            return redirect("dataset_version_detail", request.shop.slug, version.pk)
    context = {"form": form, "limit": settings.UPLOAD_MAX_BYTES, "samples": SAMPLE_SIZES}
    return render(request, "models_app/data_new.html", context, status=422 if form.errors else 200)


@require_safe
def dataset_version_detail(request: ShopRequest, version_id: str) -> HttpResponse:
    """One version, whatever it is in: columns to look at, a check under way, problems, or the report."""
    authorize(request.actor, "datasets.read", request.shop)
    version = rows.dataset_version(request.shop, version_id)
    return render(request, "models_app/dataset_version_detail.html", _version_context(request, version))


@require_safe
def dataset_version_status(request: ShopRequest, version_id: str) -> HttpResponse:
    """The part of the page that changes while a worker reads; ends by loading the page again."""
    authorize(request.actor, "datasets.read", request.shop)
    version = rows.dataset_version(request.shop, version_id)
    response = render(request, "models_app/_version_status.html", _version_context(request, version))
    if version.status != "checking":
        response["HX-Refresh"] = "true"
    return response


@require_POST
def version_columns(request: ShopRequest, version_id: str) -> HttpResponse:
    """Set what each column is, and start the check."""
    authorize(request.actor, "datasets.write", request.shop)
    version = rows.dataset_version(request.shop, version_id)
    form = ColumnsForm(version, request.POST)
    if form.is_valid():
        try:
            check_lock_version(version, form.cleaned_data["lock_version"])
            roles, items_roles = form.roles("file"), form.roles("items") if version.items_sha256 else None
            service.set_columns(
                request.actor,
                version,
                roles,
                items_roles,
                leave_out_bad_rows=form.cleaned_data["leave_out_bad_rows"],
            )
            service.start_check(request.actor, version)
        except PortalError as error:
            form.add_error(None, error.detail)
        else:
            return redirect("dataset_version_detail", request.shop.slug, version.pk)
    context = {**_version_context(request, version), "form": form}
    return render(request, "models_app/dataset_version_detail.html", context, status=422)


@require_POST
def version_cancel(request: ShopRequest, version_id: str) -> HttpResponse:
    version = rows.dataset_version(request.shop, version_id)
    service.cancel_version(request.actor, version)
    messages.success(request, f"{version} is canceled. Its file is kept; nothing was trained on it.")
    return redirect("dataset_version_detail", request.shop.slug, version.pk)


@require_POST
def version_retry(request: ShopRequest, version_id: str) -> HttpResponse:
    """Open a new version from the same files; “load the valid rows” leaves the bad ones out."""
    version = rows.dataset_version(request.shop, version_id)
    leave_out = request.POST.get("leave_out_bad_rows") == "on"
    again = service.retry_version(request.actor, version, leave_out_bad_rows=leave_out)
    if leave_out:
        service.start_check(request.actor, again)
    return redirect("dataset_version_detail", request.shop.slug, again.pk)


@require_safe
def version_file(request: ShopRequest, version_id: str, kind: str) -> HttpResponseBase:
    """Download a file as it came, as an attachment whatever it holds."""
    if kind not in ("interactions", "items"):
        raise NotFound("A version has interactions and items.")
    return file_response(
        request, download_file(request.actor, rows.dataset_version(request.shop, version_id), kind)
    )


@require_safe
def sample_file(request: ShopRequest, size: str) -> HttpResponse:
    """A small file to try with: the same columns a shop would send."""
    if size not in SAMPLE_SIZES:
        raise NotFound("Samples are small, medium or large.")
    items, count = SAMPLE_SIZES[size]
    shop = make_shop(n_users=max(40, count // 12), n_items=items, n_interactions=count, seed=7)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ratings.csv"
        shop.write_interactions_csv(path)
        text = path.read_bytes()
    headers = {"Content-Disposition": f'attachment; filename="ratings-{size}.csv"'}
    return HttpResponse(text, content_type="text/csv; charset=utf-8", headers=headers)


def _take_files(request: ShopRequest, values: dict[str, Any]) -> DatasetVersion:
    dataset = values["dataset"] or service.create_dataset(request.actor, request.shop, values["name"])
    version = service.start_version(request.actor, dataset)
    try:
        for kind, field in (("interactions", "file"), ("items", "items_file")):
            upload: UploadedFile | None = values[field]
            if upload is not None:
                service.attach_file(request.actor, version, upload.chunks(), upload.name or "", kind)
    except PortalError:
        service.cancel_version(request.actor, version, "the file was refused")
        raise
    return version


def _version_context(request: ShopRequest, version: DatasetVersion) -> dict[str, Any]:
    report = version.report
    context: dict[str, Any] = {
        "version": version,
        "dataset": version.dataset,
        "steps": _steps(version),
        "same_file": list(rows.same_file(version)[:3]),
        "versions": rows.dataset_versions(version.shop, version.dataset)[:20],
        "codes": [],
        **_may(request),
    }
    if version.status == "uploading" and version.file_format:
        context |= {
            "form": ColumnsForm(version),
            "sample": _sample(version.file_format),
            "items_sample": None,
        }
        if version.items_format:
            context["items_sample"] = _sample(version.items_format)
    if report and version.status == "ready":
        context["ready_for"] = ready_for(version)
        context["titles"] = {name: each.title for name, each in ALGORITHMS.items()} | {
            "time_split": "A split by time"
        }
        context["tail"] = charts.tail_figure(report["long_tail"])
        context["values"] = charts.values_figure(report["values"]) if report["values"] else None
        context["period"] = charts.period_figure(report["series"]) if report["series"] else None
    return context


def _sample(file_format: dict[str, Any]) -> dict[str, Any]:
    names = {at: role for role, at in file_format["roles"].items()}
    columns = [{"name": name, "role": names.get(at, "")} for at, name in enumerate(file_format["columns"])]
    return {"columns": columns, "rows": file_format["sample_rows"][:ROW_LIMIT]}


def _steps(version: DatasetVersion) -> list[dict[str, str]]:
    """File → Columns → Check → Ready, as the version stands."""
    place = {"uploading": 1, "checking": 2, "ready": 4}.get(version.status, 2)
    if version.status == "uploading" and not version.file_sha256:
        place = 0
    labels = ("File", "Columns", "Check", "Ready")
    broken = version.status in ("failed", "canceled")
    return [
        {
            "label": label,
            "state": "done"
            if at < place
            else ("bad" if broken and at == place else "now" if at == place else ""),
        }
        for at, label in enumerate(labels)
    ]


def _chosen(request: ShopRequest) -> dict[str, Any]:
    if "dataset" in request.GET:
        return {"dataset": request.GET["dataset"]}
    # A name that is taken would be refused only after the whole file was sent.
    taken = set(rows.datasets(request.shop).values_list("name", flat=True))
    names = itertools.chain(["ratings"], (f"ratings {number}" for number in itertools.count(2)))
    return {"name": next(name for name in names if name not in taken)}


def _may(request: ShopRequest) -> dict[str, bool]:
    return {
        "may_write": is_permitted(request.actor, "datasets.write", request.shop),
        "may_download": is_permitted(request.actor, "datasets.download", request.shop),
        "may_train": is_permitted(request.actor, "training.run", request.shop),
    }
