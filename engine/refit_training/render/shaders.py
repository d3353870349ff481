# SPDX-License-Identifier: GPL-3.0-or-later
"""GLSL of the renderer. Positions are in the camera frame (X right, Y down, Z forward), metres."""

from __future__ import annotations

__all__ = [
    "BACKDROP_VERTEX",
    "GROUND_FRAGMENT",
    "GROUND_VERTEX",
    "PANORAMA_FRAGMENT",
    "PICTURE_FRAGMENT",
    "SHADOW_FRAGMENT",
    "SHADOW_VERTEX",
    "SURFACE_FRAGMENT",
    "SURFACE_VERTEX",
]

_HEADER = "#version 330 core\n"

# One block for all programs: camera and light of a picture. std140.
_SCENE = """
layout(std140) uniform Scene {
    mat4 projection;
    mat4 shadow_from_camera;
    mat4 world_from_camera;
    vec4 sh[9];
    vec4 sun;                  // towards the sun, camera frame; exposure
    vec4 sun_color;
};
vec3 display(vec3 radiance) {
    // A film-like shoulder, then gamma 2 (a square root is cheaper than the sRGB power).
    vec3 x = max(radiance * sun.w, 0.0);
    return sqrt(x * (1.0 + x * 0.12) / (1.0 + x * 0.9));
}
"""

BACKDROP_VERTEX = (
    _HEADER
    + """
out vec2 place;
void main() {
    place = vec2(gl_VertexID == 1 ? 3.0 : -1.0, gl_VertexID == 2 ? 3.0 : -1.0);
    gl_Position = vec4(place, 1.0, 1.0);
}
"""
)

PANORAMA_FRAGMENT = (
    _HEADER
    + _SCENE
    + """
in vec2 place;
uniform vec4 rays;             // x, y scale and shift from clip space to the plane z = 1
uniform sampler2DArray panoramas;
uniform float layer;
uniform vec3 balance;
out vec4 color;
void main() {
    vec3 ray = normalize(mat3(world_from_camera) * vec3(place * rays.xy + rays.zw, 1.0));
    vec2 uv = vec2(atan(ray.x, -ray.z) / 6.2831853 + 0.5, 0.5 - asin(clamp(ray.y, -1.0, 1.0)) / 3.1415927);
    vec3 code = textureLod(panoramas, vec3(uv, layer), 0.0).rgb;
    vec3 y = code * code;
    color = vec4(display(balance * y / max(1.0 - y, 0.004)), 1.0);
}
"""
)

PICTURE_FRAGMENT = (
    _HEADER
    + """
in vec2 place;
uniform sampler2D picture;
out vec4 color;
void main() { color = vec4(texture(picture, place * 0.5 + 0.5).rgb, 1.0); }
"""
)

# Rest-pose coordinates that say which part of the body a point is on; `cuts.py` computes the same.
# ARM_MARKS and LEVEL_MARKS are the body's, written in when the program is made.
_BODY_PLACE = """
const float arm_marks[3] = float[3](ARM_MARKS);      // |x| of shoulder, elbow, wrist
const float level_marks[6] = float[6](LEVEL_MARKS);  // y of ankle, knee, hip, waist, neck, crown
float arm_of(vec3 p) {
    float x = abs(p.x);
    float along = x < arm_marks[1]
        ? (x - arm_marks[0]) / (arm_marks[1] - arm_marks[0])
        : 1.0 + (x - arm_marks[1]) / (arm_marks[2] - arm_marks[1]);
    return p.y < level_marks[2] ? -1.0 : along;
}
float level_of(vec3 p) {
    float level = (p.y - level_marks[0]) / (level_marks[1] - level_marks[0]);
    for (int i = 1; i < 5; ++i)
        level = p.y < level_marks[i] ? level : float(i) + (p.y - level_marks[i]) / (level_marks[i + 1] - level_marks[i]);
    return level;
}
// How far inside a cut a point is (positive inside), roughly in levels.
// a: arm, bottom, top, tilt; b: neck depth, neck width.
float inside(vec3 p, float arm, float flat_level, vec4 a, vec2 b) {
    float level = flat_level - a.w * p.z;
    float d = min(a.x - arm, min(level - a.y, a.z - level));
    float neckline = level_marks[4] - b.x * (p.z > 0.0 ? 1.0 : 0.3);
    float notch = abs(p.x) - b.y * clamp((p.y - neckline) / max(b.x, 0.01), 0.0, 1.0);
    return b.x > 0.0 && p.y > neckline ? min(d, notch * 8.0) : d;
}
"""

SURFACE_VERTEX = (
    _HEADER
    + _SCENE
    + _BODY_PLACE
    + """
in vec3 position;
in vec3 normal;
in vec2 uv;
in vec4 rest;                  // rest-pose place, ambient occlusion
#if MATERIAL == CLOTH
uniform vec4 cut_a;
uniform vec4 inflate;          // thickness, flare at the ends, waviness, phase
#endif
out vec3 v_position;
out vec3 v_normal;
out vec2 v_uv;
out vec4 v_rest;
void main() {
    v_position = position;
#if MATERIAL == CLOTH
    float end = max(1.0 - abs(level_of(rest.xyz) - cut_a.y) / 0.7, 0.0)
        + max(1.0 - abs(arm_of(rest.xyz) - cut_a.x) / 0.6, 0.0);
    float amount = inflate.x + inflate.y * end * (0.6 + 0.4 * sin(rest.x * 31.0 + rest.z * 43.0 + inflate.w))
        + inflate.z * sin(rest.y * 37.0 + rest.x * 19.0 + inflate.w) * sin(rest.x * 29.0 - rest.z * 33.0 + 2.0 * inflate.w);
    v_position += normal * amount;
#endif
    v_normal = normal;
    v_uv = uv;
    v_rest = rest;
    gl_Position = projection * vec4(v_position, 1.0);
}
"""
)

# Compiled once per use, with MATERIAL (SKIN, CLOTH, ITEM, HAIR), PATTERN, PRINT, HIDDEN (number of cuts under which
# the skin is left out) and BEARD defined: a software rasteriser runs both sides of every branch.
SURFACE_FRAGMENT = (
    _HEADER
    + _SCENE
    + _BODY_PLACE
    + """
in vec3 v_position;
in vec3 v_normal;
in vec2 v_uv;
in vec4 v_rest;
uniform sampler2DArray albedo;
uniform float layer;
uniform sampler2D noise;
uniform sampler2D shadow_map;
uniform vec3 tint;             // skin: factor; else the cloth's colour
uniform vec3 second;
uniform vec3 third;
uniform vec4 weave;            // pattern, period, print, fine noise
uniform vec4 finish;           // folds, shine, seed, how much of the texture's own colour stays
uniform vec4 cut_a;
uniform vec2 cut_b;
uniform vec4 hide_a[4];
uniform vec4 hide_b[4];
uniform vec4 scalp;            // colour and line
uniform float stubble;
uniform vec3 face;             // rest-pose centre of the head
out vec4 color;

vec3 soft_light(vec3 n) {
    return max(sh[0].rgb * 0.282095 + 0.488603 * (sh[1].rgb * n.y + sh[2].rgb * n.z + sh[3].rgb * n.x)
        + 1.092548 * (sh[4].rgb * (n.x * n.y) + sh[5].rgb * (n.y * n.z) + sh[7].rgb * (n.x * n.z))
        + sh[6].rgb * (0.315392 * (3.0 * n.z * n.z - 1.0)) + sh[8].rgb * (0.546274 * (n.x * n.x - n.y * n.y)), 0.0);
}

float sunlit(vec3 p, vec3 n) {
    vec3 q = (shadow_from_camera * vec4(p + 0.012 * n, 1.0)).xyz * 0.5 + 0.5;
    float lit = 0.0;
    for (int i = 0; i < 3; ++i) {
        vec2 tap = vec2(i == 1 ? 0.8 : -0.4, float(i - 1) * 0.7) / 192.0;
        lit += step(q.z - 0.012, textureLod(shadow_map, q.xy + tap, 0.0).r);
    }
    return lit / 3.0;
}

vec2 along_cloth(vec3 p, float arm) {
    // Along and around: sleeves run sideways in the rest pose.
    float z = p.z * 0.6;
    return arm > 0.0 ? vec2(p.x, p.y + z) : vec2(p.y, p.x + z * sign(p.x));
}

#if MATERIAL != SKIN
vec3 cloth_color(vec3 p, vec2 place, float grain) {
    vec3 c = tint;
    vec2 q = place / weave.y + finish.z * 17.0;
#if PATTERN == 1 || PATTERN == 2 || PATTERN == 3
    vec2 wave = smoothstep(-0.12, 0.12, sin(q * 6.2831853));
#endif
#if PATTERN == 1
    c = mix(tint, second, wave.x);
#elif PATTERN == 2
    c = mix(tint, second, wave.y);
#elif PATTERN == 3
    c = mix(mix(tint, second, 0.7 * wave.x), third, 0.5 * wave.y);
#elif PATTERN == 4
    vec4 spot = texture(noise, q * 0.06 + finish.z);
    c = mix(mix(tint, second, smoothstep(0.48, 0.54, spot.r)), third, smoothstep(0.58, 0.64, spot.g));
#elif PATTERN == 5
    c = p.y > mix(level_marks[3], level_marks[4], fract(finish.z * 7.0)) ? second : tint;
#elif PATTERN == 6
    c = mix(second, tint, smoothstep(0.25, 0.32, length(fract(q) - 0.5)));
#endif
#if PRINT
    vec2 chest = vec2(p.x, p.y - mix(level_marks[3], level_marks[4], 0.55)) / weave.z;
    vec4 mark = texture(noise, chest * 0.11 + fract(finish.z * 5.0));
    float on = step(max(abs(chest.x), abs(chest.y) * 1.3), 1.0);
    c = mix(c, mark.g > 0.5 ? third : second, on * smoothstep(0.47, 0.5, mark.r));
#endif
    return c * (1.0 + weave.w * 2.0 * (grain - 0.5));
}
#endif

void main() {
    vec3 p = v_rest.xyz;
    vec3 n = normalize(v_normal);
    vec3 eye = normalize(-v_position);
    float shade = v_rest.w;
    float shine = finish.y;
    float arm = arm_of(p);
    vec2 place = along_cloth(p, arm);
    vec4 folds = texture(noise, place * vec2(2.1, 0.9) + finish.z + p.z * 0.7);
    float grain = texture(noise, p.xy * 11.0 + p.z * 7.0).b;
#if MATERIAL == SKIN
#if HIDDEN > 0
    float level = level_of(p);
    for (int i = 0; i < HIDDEN; ++i)
        if (inside(p, arm, level, hide_a[i], hide_b[i].xy) > 0.04) discard;
#endif
    vec3 own = texture(albedo, vec3(v_uv, layer)).rgb;
    vec3 base = own * own * tint;
    vec3 h = p - face;
    // Scalp: above the forehead, behind the ears, down to the nape.
    float border = h.y - 0.075 + 0.026 * scalp.w + (h.z > 0.0 ? -0.25 * h.z : -1.6 * h.z) + 0.02 * (folds.r - 0.5);
    float cap = smoothstep(-0.006, 0.006, border) * smoothstep(-0.075, -0.06, h.y);
    base = mix(base, scalp.rgb * (0.6 + 0.8 * grain), cap * step(-1.0, scalp.w));
#if BEARD
    float lower = smoothstep(-0.02, -0.045, h.y) * smoothstep(0.02, 0.05, h.z) * smoothstep(-0.15, -0.11, h.y);
    base = mix(base, scalp.rgb + 0.01, lower * stubble * (0.5 + 0.5 * grain));
#endif
    // Eyebrows and eyes, which the skins do not have; EYE is the left eyeball's centre.
    vec3 e = vec3(abs(p.x), p.yz) - vec3(EYE);
    float brow = smoothstep(0.0045, 0.002, abs(e.y - 0.0215 + 18.0 * (e.x + 0.002) * (e.x + 0.002)))
        * smoothstep(0.021, 0.017, abs(e.x - 0.002)) * step(0.0, e.z);
    base = mix(base, mix(base * 0.35, abs(scalp.rgb), 0.6), brow);
    shine = 0.12;
    if (shade > 1.5) {
        shade = 0.55;
        float gaze = normalize(e).z;
        vec3 iris = mix(vec3(0.06, 0.03, 0.015), vec3(0.10, 0.16, 0.22), step(0.75, fract(finish.z * 13.0)));
        base = mix(vec3(0.62, 0.58, 0.55), iris, smoothstep(0.895, 0.915, gaze));
        base = mix(base, vec3(0.01), smoothstep(0.975, 0.985, gaze));
    }
#elif MATERIAL == CLOTH
    if (inside(p, arm, level_of(p), cut_a, cut_b) + 0.03 * (folds.g - 0.5) < 0.0) discard;
    vec3 base = cloth_color(p, place, grain);
#else
    vec4 own = layer < 0.0 ? vec4(0.8, 0.8, 0.8, 1.0) : texture(albedo, vec3(v_uv, layer));
    if (own.a < 0.45) discard;
#if MATERIAL == HAIR
    vec3 base = tint * (0.45 + 1.2 * own.g) * (0.75 + 0.5 * grain);
#else
    vec3 painted = cloth_color(p, place, grain) * (0.35 + 1.3 * dot(own.rgb, vec3(0.3, 0.59, 0.11)));
    vec3 base = mix(painted, own.rgb * own.rgb, finish.w);
#endif
    if (dot(n, eye) < 0.0) n = -n;
#endif
#if MATERIAL != SKIN
    n = normalize(n + finish.x * 1.8 * (folds.rgb - 0.5));
#endif
    float facing = max(dot(n, sun.xyz), 0.0);
    float lit = sunlit(v_position, n);
    vec3 soft = soft_light(mat3(world_from_camera) * n) * shade;
    float across = max(dot(n, normalize(sun.xyz + eye)), 0.0);
    across *= across;
    across *= across;
    across *= across;
    float rim = 1.0 - max(dot(n, eye), 0.0);
    rim *= rim;
    vec3 radiance = base * (soft + sun_color.rgb * (facing * lit))
        + shine * (sun_color.rgb * (across * across * lit) + 0.25 * rim * rim * soft);
    color = vec4(display(radiance), 1.0);
}
"""
)

SHADOW_VERTEX = (
    _HEADER
    + _SCENE
    + """
in vec3 position;
void main() { gl_Position = shadow_from_camera * vec4(position, 1.0); }
"""
)

SHADOW_FRAGMENT = _HEADER + "void main() {}\n"

GROUND_VERTEX = (
    _HEADER
    + _SCENE
    + """
in vec3 position;
out vec3 v_position;
void main() {
    v_position = position;
    gl_Position = projection * vec4(position, 1.0);
}
"""
)

# Drawn with multiplicative blending over the backdrop.
GROUND_FRAGMENT = (
    _HEADER
    + _SCENE
    + """
in vec3 v_position;
uniform sampler2D shadow_map;
uniform float strength;
uniform vec3 centre;
uniform float reach;
out vec4 color;
void main() {
    vec3 q = (shadow_from_camera * vec4(v_position, 1.0)).xyz * 0.5 + 0.5;
    float dark = 0.0;
    for (int i = 0; i < 9; ++i) {
        vec2 tap = vec2(i % 3, i / 3) - 1.0;
        vec2 at = q.xy + tap / 110.0;
        float covered = step(texture(shadow_map, at).r, min(q.z, 0.999) - 0.004);
        dark += covered * step(abs(at.x - 0.5), 0.5) * step(abs(at.y - 0.5), 0.5);
    }
    float distance = length(v_position - centre) / reach;
    float contact = exp(-distance * distance * 6.0);
    color = vec4(vec3(1.0 - strength * dark / 9.0) * (1.0 - 0.35 * contact), 1.0);
}
"""
)
