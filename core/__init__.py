"""The library: all that works without ComfyUI. It imports nothing at once; take what you need from its modules.

What programs are built on, and what a change of version will name:

- ``loading``: Models, load_models
- ``pipeline``: restore_photos, restore_crops, RestoreOptions
- ``refinement``: RefinementOptions
- ``records``: Face, FaceQuality, Crops, FaceTokens, Person, References, Lookup
- ``reports``: restored_record, references_record
- ``files.images``: read_photo, write_photo
- ``faces.detect``: detect_faces, load_detector
- ``faces.select``: select_faces
- ``faces.crop``: crop_faces, aligned_crops
- ``faces.paste``: paste_faces, PasteOptions
- ``faces.identity``: load_embedder, load_embedders, Embedders
- ``restorers.table``: load_restorer, builtin_restorer
- ``restorers.tokens``: encode_tokens, restore_tokens, decode_tokens
- ``references.encoding``: encode_references
- ``references.views``: ReferencePhoto
- ``references.options``: ReferenceOptions
- ``references.matching``: match_faces
- ``references.transfer``: transfer_texture
- ``references.saving``: save_references, load_references
"""
