"""Evaluation of networks: PSNR and SSIM, planted probes, NIQE, the validation set."""
