"""A street drawn by painter's algorithm with numpy and OpenCV: ground, houses, trees and walking people."""
