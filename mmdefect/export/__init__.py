"""From a trained model to a package that runs without torch and OpenMMLab."""
