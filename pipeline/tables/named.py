"""The encoders that the sources name, as this project has them."""

from __future__ import annotations

from dataclasses import replace

from pipeline.tables.encoder import Encoder

BERT = Encoder("BERT", "bert", cleaner="crisis")
ROBERTA = Encoder("RoBERTa", "bert", pretrained="FacebookAI/roberta-base", cleaner="crisis")
ELECTRA = Encoder("ELECTRA", "bert", pretrained="google/electra-base-discriminator", cleaner="crisis")
DENSENET = Encoder("DenseNet", "timm")
VIT = Encoder("ViT", "timm", pretrained="vit_base_patch16_224.augreg2_in21k_ft_in1k")
VGG16 = Encoder("VGG-16", "timm", pretrained="vgg16.tv_in1k")
RESNET152 = Encoder("ResNet-152", "timm", pretrained="resnet152.tv_in1k")
CLIP = Encoder("CLIP", "clip")
VILT = Encoder("ViLT", "vilt")
LXMERT = Encoder("LXMERT", "lxmert")


def with_tokens(encoder: Encoder, view: str) -> Encoder:
    """The encoder with its view of one vector per token."""
    return replace(encoder, model=f"{encoder.model}:{view}", options=("tokens=true",))
