"""Makes the golden adapters of this folder: tiny random LoRA adapters of the models in `../golden`, and what `peft` and
`transformers` compute with them.

    pip install torch transformers peft safetensors
    python make.py

For each case it writes a folder NAME with the adapter as `save_pretrained` leaves it, and `golden.json`: the model, a
prompt and the logits of some of its rows. The same versions of the packages give the same files.
"""

import json
import shutil
from pathlib import Path

import torch
import transformers
from peft import LoraConfig, get_peft_model

HERE = Path(__file__).parent
MODELS = HERE.parent / "golden"
ROWS = [0, 1, 63, 64, 99]
ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]

# name: (model, type of the numbers, configuration)
CASES = {
    "every-projection": ("llama", torch.float32, dict(r=8, lora_alpha=16, target_modules=ALL)),
    "patterns": ("qwen3", torch.bfloat16, dict(
        r=4, lora_alpha=8, use_rslora=True, target_modules=r".*\.(self_attn\.[qkvo]_proj|mlp\.down_proj)",
        rank_pattern={"q_proj": 6, r"layers\.1\.mlp\.down_proj": 2}, alpha_pattern={"self_attn.v_proj": 3},
    )),
    "one-layer": ("qwen2", torch.float16, dict(
        r=1, lora_alpha=2, target_modules=["q_proj", "v_proj"], layers_to_transform=[1],
    )),
    "all-linear": ("mistral", torch.float32, dict(r=3, lora_alpha=5, target_modules="all-linear")),
    "beside-experts": ("qwen3moe", torch.float32, dict(r=4, lora_alpha=4, target_modules=["q_proj", "o_proj"])),
}


@torch.no_grad()
def make(name):
    model_name, dtype, fields = CASES[name]
    torch.manual_seed(sum(name.encode()))
    base = transformers.AutoModelForCausalLM.from_pretrained(
        MODELS / model_name, dtype=torch.float32, attn_implementation="eager"
    )
    model = get_peft_model(base, LoraConfig(task_type="CAUSAL_LM", lora_dropout=0.1, **fields)).eval()
    for tensor_name, tensor in model.named_parameters():
        if "lora_" in tensor_name:
            # As the file will hold them.
            noise = torch.randn(tensor.shape) / tensor.shape[-1] ** 0.5
            tensor.copy_(noise.to(dtype).float())
    prompt = torch.randint(0, base.config.vocab_size, (100,)).tolist()
    logits = model(torch.tensor([prompt]), use_cache=False).logits[0]
    plain = base.get_base_model() if hasattr(base, "get_base_model") else base
    with model.disable_adapter():
        unchanged = plain(torch.tensor([prompt]), use_cache=False).logits[0]
    assert (logits - unchanged).abs().max() > 0.5, f"{name} changes too little to be a test"
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    for tensor_name, tensor in model.named_parameters():
        if "lora_" in tensor_name:
            tensor.data = tensor.data.to(dtype)
    model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    config = json.loads((folder / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = model_name
    # A set when it is written, so in any order.
    if isinstance(config["target_modules"], list):
        config["target_modules"].sort()
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=2) + "\n")
    (folder / "adapter_model.safetensors").chmod(0o644)
    golden = dict(model=model_name, prompt=prompt, rows=ROWS,
                  logits=[[float(f"{number:.9g}") for number in logits[row].tolist()] for row in ROWS])
    (folder / "golden.json").write_text(json.dumps(golden) + "\n")


for case in CASES:
    make(case)
    print(case)
