"""How good a network is: PSNR and SSIM, planted probes, NIQE, the validation set."""
