"""Why a NIfTI file is not enhanced, in words that quote nothing of it."""

from __future__ import annotations

from scanside.runtime.errors import UnreadableImageError, UnsupportedImageError


def unsupported(
    reason: str, message: str, next_step: str = "leave this file out; its original stays as it is"
) -> UnsupportedImageError:
    return UnsupportedImageError(f"{reason}: {message}", next_step=next_step, reason=reason)


def malformed(field: str) -> UnsupportedImageError:
    return UnsupportedImageError(
        f"{field} in the header is not usable",
        next_step="repair or export the volume again",
        reason="malformed header",
    )


def pair() -> UnsupportedImageError:
    return unsupported(
        "NIfTI pair",
        "header and voxels lie in two files, .hdr and .img",
        "convert the pair to one .nii file first",
    )


def not_nifti() -> UnreadableImageError:
    return UnreadableImageError(
        "this is not a NIfTI file", next_step="name .nii or .nii.gz files", reason="not NIfTI"
    )


def truncated() -> UnreadableImageError:
    return UnreadableImageError(
        "truncated: the file ends too early", next_step="copy it again", reason="truncated"
    )


def damaged(what: str) -> UnreadableImageError:
    return UnreadableImageError(
        f"damaged: {what}", next_step="copy or export the volume again", reason="damaged"
    )
