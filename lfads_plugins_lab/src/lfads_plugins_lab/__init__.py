"""Around a trained model: raw recordings in, settings of other programs, evaluation, a page, exports, streaming, measurements."""
